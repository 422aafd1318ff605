"""Disks for what join tasks remember beyond memory."""
