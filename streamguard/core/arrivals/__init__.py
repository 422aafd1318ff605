"""What arrives on an input, whatever becomes of it: how many records, and what they have that the contract has not."""
