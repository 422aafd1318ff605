"""The re-key stage as a process: from raw topics to topics of keyed records that the join reads."""
