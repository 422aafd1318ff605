"""The pure core: state machines over records, with time as a value that is passed in."""
