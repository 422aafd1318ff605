"""Every finding there is. A code never changes its meaning: programs go by it."""

from dataclasses import dataclass

from streamguard.doctor.severity import Severity

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE


@dataclass(frozen=True, slots=True)
class Code:
    """What all findings of one code share."""

    severity: Severity
    why: str
    """Why it matters."""
    mend: str
    """How it is mended; a finding says it with names and values."""


_MACHINE = {
    "python-version": Code(_ERROR, "The installed code does not run on this Python.", "Run another Python."),
    "package-missing": Code(_ERROR, "What needs the package fails when it is first used.", "`pip install` it."),
    "package-version": Code(
        _ERROR,
        "Another version may behave differently from the one that was tried.",
        "`pip install` a version that fits.",
    ),
    "extra-missing": Code(
        _ERROR, "A setting needs a package that is not installed, so a worker ends at its start.", "`pip install` it."
    ),
    "codec-missing": Code(
        _ERROR,
        "Records of a topic are compressed by a codec that this machine cannot read, so a worker cannot read them.",
        "`pip install 'kafka-python[lz4,zstd,snappy]'`.",
    ),
    "variable-unset": Code(_ERROR, "The configuration says that the variable is needed.", "`export` it."),
    "variable-mismatch": Code(_ERROR, "The configuration says what the variable must look like.", "Set it anew."),
    "cuda-malformed": Code(
        _ERROR,
        "CUDA reads the variable up to the first part that it does not understand, and hides all devices after it.",
        "Set indices, or UUIDs as `nvidia-smi -L` prints them, with commas.",
    ),
    "cuda-hides-all": Code(
        _ERROR, "A program sees no GPU, and may go on without one, slowly.", "Unset CUDA_VISIBLE_DEVICES, or name one."
    ),
    "cuda-duplicate": Code(
        _ERROR,
        "CUDA shows no device at all where one is named twice.",
        "Name each device once in CUDA_VISIBLE_DEVICES.",
    ),
    "cuda-no-such-device": Code(
        _ERROR, "CUDA hides the device that is not there, and all that are named after it.", "Name devices that exist."
    ),
    "cuda-order": Code(
        _NOTE,
        "CUDA numbers devices from the fastest on, NVML and nvidia-smi by their slot: an index may mean another one.",
        "Set CUDA_DEVICE_ORDER=PCI_BUS_ID, or name devices by UUID.",
    ),
    "gpu-count": Code(_ERROR, "The configuration says how many GPUs are needed.", "Free or add GPUs."),
    "gpu-memory": Code(
        _ERROR, "What needs that much memory on the GPU fails, or waits.", "End what holds it (`nvidia-smi`)."
    ),
    "gpu-unchecked": Code(
        _NOTE, "Without NVIDIA's NVML nobody can say what GPUs there are.", "`pip install nvidia-ml-py`."
    ),
    "memory-limit": Code(
        _WARNING,
        "One input partition may take more memory than there is, and the kernel then kills the worker.",
        "Lower `join.max_waiting_bytes`, raise the limit, or set `join.store.directory`.",
    ),
    "memory-window": Code(
        _ERROR,
        "What lies within the join window now does not fit into memory.",
        "Shorten `join.after`, set `join.store.directory`, raise the limit, or spread partitions over more workers.",
    ),
    "memory-caps": Code(
        _NOTE,
        "One worker that has all partitions could take more memory than there is before it pauses.",
        "Run several workers, or lower `join.max_waiting_bytes`.",
    ),
    "cpu-limit": Code(
        _NOTE,
        "With less than a whole CPU the kernel stops the worker for a part of each period, heartbeats and commits too.",
        "Raise the CPU limit to 1 at least.",
    ),
    "pids-limit": Code(
        _WARNING, "A worker that may start no more threads cannot open its clients.", "Raise `pids.max` of the cgroup."
    ),
    "descriptors-low": Code(
        _ERROR,
        "Each connection and each file of the store takes a descriptor; a worker without one loses its session.",
        "`ulimit -n`, `LimitNOFILE=` in systemd, `--ulimit nofile=` in Docker.",
    ),
    "disk-unwritable": Code(_ERROR, "A worker cannot keep its state, and ends.", "Give this user write access."),
    "disk-full": Code(
        _ERROR, "A worker whose disk is full ends with an error.", "Free space, or name another directory."
    ),
    "disk-low": Code(
        _WARNING, "The directory may fill up before the window is full.", "Free space, or use another disk."
    ),
    "disk-slow": Code(
        _WARNING,
        "Each commit of an embedded log, and each checkpoint of a store, waits for this disk.",
        "Use a local disk (SSD).",
    ),
    "profile-unusable": Code(
        _ERROR, "A worker reads it at its start, and ends.", "`streamguard profile build` it anew."
    ),
    "profile-old": Code(
        _WARNING,
        "What was usual in training long ago may be unusual now: alerts then tell of the profile's age.",
        "Build it of the data that the running model was trained on, or raise `preflight.profile_max_age`.",
    ),
    "handler-unusable": Code(_ERROR, "`streamguard handle` ends at its start.", "Mend the handler's settings."),
    "handler-unreachable": Code(
        _ERROR, "Its alerts would end on the topic of dead letters.", "Mend the URL or host, or the network."
    ),
    "handler-tls": Code(
        _ERROR,
        "Its server cannot be trusted, so that no alert is delivered there.",
        "Mend the certificate, or `ca_file`.",
    ),
    "handler-tls-soon": Code(_WARNING, "From then on no alert is delivered there.", "Renew the server's certificate."),
    "handler-proxied": Code(
        _NOTE,
        "It is called through a proxy, which alone knows whether it can be reached.",
        "`streamguard handle --test`.",
    ),
}

_NETWORK = {
    "name-unresolved": Code(
        _ERROR, "No connection without an address.", "Mend the name in `log.bootstrap_servers`, or the DNS."
    ),
    "port-refused": Code(
        _ERROR,
        "Nobody listens there: wrong port, or the broker is down.",
        "Mend `log.bootstrap_servers`; start the broker.",
    ),
    "port-silent": Code(
        _ERROR,
        "No answer from there: a firewall, a wrong address, or a broker that hangs.",
        "Open the way to the port.",
    ),
    "tls-untrusted": Code(
        _ERROR,
        "The broker's certificate comes from nobody we trust.",
        "Set `log.security.ca_file` to the right authority.",
    ),
    "tls-expired": Code(
        _ERROR, "No client talks to a broker whose certificate has expired.", "Renew it on the broker."
    ),
    "tls-expires-soon": Code(_WARNING, "From then on no client can connect.", "Renew it on the broker before."),
    "tls-hostname": Code(
        _ERROR,
        "The certificate is for another name, so it may be another server.",
        "Use a name of the certificate in `log.bootstrap_servers`, or issue one for this name.",
    ),
    "tls-failed": Code(
        _ERROR,
        "Without encryption the broker does not talk to us.",
        "Compare TLS versions; set `cert_file` if asked for.",
    ),
    "tls-expected": Code(
        _ERROR, "The port wants TLS and closes what comes without.", "Set `log.security.protocol: SSL` or `SASL_SSL`."
    ),
    "tls-not-spoken": Code(
        _ERROR, "The port speaks Kafka without TLS.", "Set `log.security.protocol: PLAINTEXT`, or name the TLS port."
    ),
    "kafka-not-spoken": Code(
        _ERROR, "Something else than a Kafka broker listens there.", "Mend the port in `log.bootstrap_servers`."
    ),
    "sasl-expected": Code(
        _ERROR, "The port wants to know who we are.", "Set `log.security.protocol: SASL_SSL` and `log.security.sasl`."
    ),
    "sasl-mechanism": Code(
        _ERROR,
        "The broker does not offer this way to prove who we are.",
        "Set `log.security.sasl.mechanism` to one it has.",
    ),
    "sasl-refused": Code(
        _ERROR,
        "The broker does not believe that we are who we say.",
        "Mend the user name or password of `log.security.sasl`.",
    ),
    "log-unreachable": Code(_ERROR, "Nothing works without the log.", "See the other findings."),
    "advertised-unreachable": Code(
        _ERROR,
        "Clients connect to the addresses that brokers advertise; the first answer alone is of no use.",
        "Set the broker's `advertised.listeners` to an address that can be reached from here.",
    ),
    "round-trip-slow": Code(
        _WARNING,
        "A commit takes several round trips, and a worker commits all the time.",
        "Run workers near the brokers.",
    ),
    "round-trip-uneven": Code(
        _WARNING,
        "Heartbeats and commits that are late now and then end sessions.",
        "Look at the network and at the broker's load; raise `log.session_timeout`.",
    ),
    "clock-skew": Code(
        _WARNING,
        "Records without a time field have Kafka's or the producers' time, and `join.max_ahead` is counted from it.",
        "Run NTP (chrony) here and on the brokers.",
    ),
    "clock-unknown": Code(
        _NOTE, "The broker did not tell its time.", "Allow Describe on the cluster, or compare the clocks by hand."
    ),
}

_TOPICS = {
    "topic-missing": Code(_ERROR, "A worker does not start without its inputs.", "Create it, or mend its name."),
    "topic-to-create": Code(_NOTE, "A worker makes them at its first start.", "Nothing needs to be done."),
    "topic-not-created": Code(
        _ERROR, "A worker does not start without it, and may not make it.", "Create it, or grant Create."
    ),
    "partitions-unequal": Code(
        _ERROR,
        "A prediction and its label must be on the same partition number, which needs the same count.",
        "Create the topics anew with one count.",
    ),
    "outcomes-partitions": Code(
        _ERROR, "A worker does not start where setting and topic differ.", "Set `outcomes.partitions` to the topic's."
    ),
    "state-partitions": Code(
        _ERROR, "There is one state partition for each of the outcomes.", "Name a new state topic, or delete it."
    ),
    "alerts-partitions": Code(
        _WARNING,
        "A retraining's history is read from one partition; with several it may be begun twice.",
        "Use an alerts topic with one partition.",
    ),
    "retention-short": Code(
        _ERROR, "A restart must read back twice the window, or a worker cannot go on.", "Raise `retention.ms`."
    ),
    "retention-bytes-short": Code(
        _WARNING,
        "At the present rate the size limit removes records before a restart could read them back.",
        "Raise `retention.bytes`.",
    ),
    "input-compacted": Code(
        _ERROR, "Compaction removes records that are still needed.", "Set `cleanup.policy=delete` on the topic."
    ),
    "state-not-compacted": Code(
        _ERROR, "Retention would remove snapshots that are still needed.", "Set `cleanup.policy=compact` on the topic."
    ),
    "message-limit": Code(
        _ERROR, "The broker refuses records that we must write, and the worker ends.", "Raise `max.message.bytes`."
    ),
    "record-limit": Code(
        _NOTE,
        "Records between the two limits are taken by the broker and rejected by the join.",
        "Raise `limits.record_bytes`, or lower the topic's `max.message.bytes`.",
    ),
    "min-insync": Code(
        _ERROR,
        "No write is ever confirmed, so that nothing is committed.",
        "Lower `min.insync.replicas`, or add replicas.",
    ),
    "under-replicated": Code(_WARNING, "One more broker that fails may stop the topic.", "Look at the brokers."),
    "partition-offline": Code(
        _ERROR, "A partition without a leader is neither read nor written.", "Start its brokers."
    ),
    "timestamps-appended": Code(
        _WARNING,
        "Predictions then happen when the broker writes them: what a producer sends late matches wrong or not at all.",
        "Set `predictions.fields.time`, or `message.timestamp.type=CreateTime` on the topic.",
    ),
    "settings-hidden": Code(
        _NOTE,
        "Retention, cleanup policy and limits of these topics could not be compared with what is needed.",
        "`kafka-acls.sh --add` DescribeConfigs on the topics.",
    ),
    "topic-right": Code(_ERROR, "A worker may not do what it must.", "`kafka-acls.sh --add` the operation."),
    "group-right": Code(_ERROR, "A worker cannot join its group.", "`kafka-acls.sh --add` Read on the group."),
    "transaction-right": Code(
        _ERROR, "Without transactions nothing is committed.", "`kafka-acls.sh --add` Write on the transactional IDs."
    ),
    "coordinator-unavailable": Code(
        _ERROR,
        "Groups and transactions have a coordinator each, on a topic of Kafka's own; without one nothing is committed.",
        "See whether `__consumer_offsets` and `__transaction_state` have leaders, and enough replicas.",
    ),
    "session-timeout": Code(
        _ERROR,
        "The broker refuses members with such a session timeout.",
        "Set `log.session_timeout` within its limits.",
    ),
    "transaction-timeout": Code(
        _ERROR, "The broker refuses transactions that may last so long.", "Lower `log.transaction_timeout`."
    ),
    "group-window": Code(
        _ERROR,
        "The group's state follows from another join window; a worker stops rather than go on wrongly.",
        "Set the window back, or begin anew under another `log.group`.",
    ),
    "group-note": Code(
        _ERROR, "Something else has committed to this group; a worker stops.", "Use a `log.group` of its own."
    ),
    "group-client": Code(
        _ERROR, "All members of a group need the same client.", "Set `log.client` as theirs, or stop them first."
    ),
    "group-retention": Code(
        _ERROR,
        "Records that a restart must read back have been removed.",
        "Raise `retention.ms`, and begin anew under another `log.group`.",
    ),
    "group-active": Code(
        _NOTE, "Others work in this group now; a new worker shares with them.", "Nothing needs to be done."
    ),
    "group-lag": Code(
        _NOTE, "A worker catches up first, so alerts come late.", "Start more workers to catch up faster."
    ),
    "embedded-unreadable": Code(_ERROR, "Nothing works without the log.", "Name another file, or mend this one."),
}

_RECORDS = {
    "keys-missing": Code(
        _ERROR,
        "Without a key producers spread records over partitions, and a label does not find its prediction.",
        "Let producers send the request ID as the record's key.",
    ),
    "keys-not-request-id": Code(
        _WARNING,
        "Labels find their predictions only if the same request always has the same key on both topics.",
        "Let producers of both topics send the request ID as key.",
    ),
    "partitioners-differ": Code(
        _ERROR,
        "The same key is on different partitions of the two topics, so that labels do not find their predictions.",
        "Give both producers the same partitioner: in librdkafka `partitioner=murmur2_random`.",
    ),
    "pairs-apart": Code(
        _ERROR,
        "Predictions and labels of the same request are on different partition numbers, and never meet.",
        "Give both topics the same keys, the same partitioner, and records that were not written before it changed.",
    ),
    "partitioner-unknown": Code(
        _WARNING,
        "Nobody can say that the other topic's keys go to the same partitions.",
        "See that both producers choose partitions in the same way.",
    ),
    "records-rejected": Code(
        _ERROR,
        "Most records cannot be used with the fields as they are set.",
        "Mend `predictions.fields`, `labels.fields`.",
    ),
    "some-records-rejected": Code(
        _WARNING, "They go to the rejected topic, and are not checked.", "Mend the producer, or the fields."
    ),
    "records-unmonitored": Code(_WARNING, "No monitor looks at them.", "Mend `match`, or add a monitor."),
    "records-late": Code(
        _WARNING, "Late records are left out.", "Raise `join.disorder`, or leave out the time field to use Kafka's."
    ),
    "records-ahead": Code(
        _WARNING, "One wrong clock makes all that follows late.", "Mend the producers' clocks (NTP)."
    ),
    "times-in-1970": Code(
        _ERROR, "Times in seconds are read as milliseconds: nothing matches.", "Write epoch milliseconds or RFC 3339."
    ),
    "sample-empty": Code(_NOTE, "Keys and fields of a topic without records cannot be looked at.", "Run again later."),
    "sample-unread": Code(_WARNING, "Keys and fields could not be looked at.", "See the reason."),
    "check-unfinished": Code(_WARNING, "What was not seen in time may be wrong.", "Run again; see what is slow."),
}

CODES: dict[str, Code] = _MACHINE | _NETWORK | _TOPICS | _RECORDS
"""All of them, by their names."""

GROUPS = {
    "This machine": _MACHINE,
    "The way to the brokers": _NETWORK,
    "Topics, rights and the group": _TOPICS,
    "Records": _RECORDS,
}
"""The same, as the documentation has them."""
