"""Sees what checks judge: files, the kernel, the network, Kafka. Nothing here waits without a limit."""
