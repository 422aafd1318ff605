"""The way to the brokers, and to where handlers deliver."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import median

from streamguard.config import Config, KafkaLog
from streamguard.doctor.facts import Cluster, HandlerReach, Reach
from streamguard.doctor.finding import Finding
from streamguard.doctor.words import duration

_DAY_MS = 86_400_000
_SOON_MS = 30 * _DAY_MS
_SLOW_MS, _UNEVEN_MS = 100.0, 250.0


def ways(settings: KafkaLog, facts: Sequence[Reach], now_ms: int) -> Iterator[Finding]:
    """Each of `log.bootstrap_servers`."""
    for each in facts:
        yield from _way(settings, each, now_ms)


def _way(settings: KafkaLog, reach: Reach, now_ms: int) -> Iterator[Finding]:
    place = reach.place
    if reach.resolve_problem:
        yield Finding(
            "name-unresolved",
            f"the name {reach.host!r} has no address: {reach.resolve_problem}",
            "mend it in log.bootstrap_servers, or add it to the DNS",
        )
    elif reach.connect_problem:
        code = "port-refused" if reach.is_refused else "port-silent"
        mend = "mend the port in log.bootstrap_servers, or start the broker"
        yield Finding(
            code,
            f"{place} takes no connection: {reach.connect_problem}",
            mend if reach.is_refused else "open the way to it (firewall, route), or mend log.bootstrap_servers",
        )
    elif reach.tls is not None and reach.tls.problem == "silent":
        yield Finding(
            "port-silent",
            f"{place} takes a connection, and does not answer when it is to be encrypted: {reach.tls.detail}",
            "see whether the broker hangs, or mend the port in log.bootstrap_servers",
        )
    elif reach.tls is not None and reach.tls.problem == "failed":
        yield from _no_handshake(reach)
    elif reach.tls is not None and reach.tls.problem:
        yield _certificate(settings, reach)
    else:
        yield from _spoken(settings, reach)
        yield from _expiring("tls-expires-soon", reach, now_ms, "renew it on the broker before")


def _no_handshake(reach: Reach) -> Iterator[Finding]:
    detail = "" if reach.tls is None else reach.tls.detail
    if reach.kafka is not None and reach.kafka.speaks_plain:
        yield Finding(
            "tls-not-spoken",
            f"{reach.place} speaks Kafka without TLS, and log.security.protocol wants it encrypted",
            "name the TLS port in log.bootstrap_servers, or set log.security.protocol: PLAINTEXT (or SASL_PLAINTEXT)",
        )
    else:
        yield Finding(
            "tls-failed",
            f"{reach.place} does not agree on TLS: {detail}",
            "set log.security.cert_file if the broker asks for our certificate; compare TLS versions",
        )


def _certificate(settings: KafkaLog, reach: Reach) -> Finding:
    tls = reach.tls
    assert tls is not None  # noqa: S101 - for mypy
    if tls.problem == "expired":
        when = "" if tls.expires_ms is None else f" (it ended on {_day(tls.expires_ms)})"
        return Finding(
            "tls-expired",
            f"the certificate of {reach.place} is not valid now{when}: {tls.detail}",
            "renew it on the broker; see that this machine's clock is right",
        )
    if tls.problem == "hostname":
        return Finding(
            "tls-hostname",
            f"the certificate of {reach.place} is for {', '.join(tls.names) or 'other names'}",
            "use one of these names in log.bootstrap_servers and advertised.listeners, or issue a certificate for"
            f" {reach.host!r}",
        )
    trusted = settings.security.ca_file
    return Finding(
        "tls-untrusted",
        f"the certificate of {reach.place} comes from nobody that"
        f" {'the system trusts' if trusted is None else repr(trusted) + ' names'}: {tls.detail}",
        "set log.security.ca_file to the PEM file of the authority that signed it",
    )


def _spoken(settings: KafkaLog, reach: Reach) -> Iterator[Finding]:
    kafka, protocol = reach.kafka, settings.security.protocol
    if kafka is None:
        return
    if not kafka.speaks:
        if kafka.speaks_tls:
            safe = "SASL_SSL" if protocol.startswith("SASL") else "SSL"
            yield Finding(
                "tls-expected",
                f"{reach.place} speaks TLS, and log.security.protocol is {protocol}",
                f"set log.security.protocol: {safe}",
            )
        else:
            how = "closes the connection" if kafka.is_closed_on_us else "does not answer"
            yield Finding(
                "kafka-not-spoken" if kafka.is_closed_on_us else "port-silent",
                f"{reach.place} {how} when it is asked for Kafka's versions",
                "mend the port in log.bootstrap_servers; see whether the broker hangs",
            )
    elif kafka.mechanisms is not None and settings.security.sasl is None:
        safe = "SASL_SSL" if protocol == "SSL" else "SASL_PLAINTEXT"
        yield Finding(
            "sasl-expected",
            f"{reach.place} asks who we are ({', '.join(kafka.mechanisms)}), and log.security.protocol is {protocol}",
            f"set log.security.protocol: {safe}, and log.security.sasl",
        )
    elif settings.security.sasl is not None:
        offered = kafka.mechanisms or ()
        wanted = settings.security.sasl.mechanism
        if wanted not in offered:
            has = f"offers {', '.join(offered)}" if offered else "does not ask who we are (no SASL on this port)"
            yield Finding(
                "sasl-mechanism",
                f"{reach.place} {has}, and log.security.sasl.mechanism is {wanted}",
                "set log.security.sasl.mechanism to one that it offers"
                if offered
                else f"name another port, or set log.security.protocol: {protocol.removeprefix('SASL_')}",
            )


def _expiring(code: str, reach: Reach, now_ms: int, mend: str) -> Iterator[Finding]:
    expires_ms = None if reach.tls is None else reach.tls.expires_ms
    if expires_ms is not None and expires_ms - now_ms < _SOON_MS:
        days = max(0, expires_ms - now_ms) // _DAY_MS
        yield Finding(code, f"the certificate of {reach.place} ends in {days} days, on {_day(expires_ms)}", mend)


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"


def begun(settings: KafkaLog, words: str, causes: Sequence[str]) -> Iterator[Finding]:
    """The brokers answered, but let nobody in; `causes` are names of Kafka's errors, with what was said."""
    sasl = settings.security.sasl
    refused = next((each for each in causes if "SaslAuthentication" in each), None)
    others = [each for each in causes if "KafkaTimeout" not in each]
    if refused is None and sasl is not None and others and all("disconnected" in each for each in others):
        refused = "it closes the connection while we say who we are"
    if refused is not None:
        who = "" if sasl is None or sasl.username is None else f" {sasl.username!r}"
        yield Finding(
            "sasl-refused",
            f"the broker refuses the user{who}: {refused}",
            "mend username or password of log.security.sasl (or password_file), or add the user to the broker",
        )
    else:
        told = next(iter(others), words)
        yield Finding("log-unreachable", f"no broker lets us in: {told}", "see the brokers' own log")


def advertised(settings: KafkaLog, facts: Sequence[Reach], now_ms: int) -> Iterator[Finding]:
    """Where clients are sent to by the first broker that answers."""
    known = {each.replace("[", "").replace("]", "") for each in settings.bootstrap_servers}
    for each in facts:
        found = [] if f"{each.host}:{each.port}" in known else list(_way(settings, each, now_ms))
        for finding in found:
            if finding.severity.value == "error":
                yield Finding(
                    "advertised-unreachable",
                    f"a broker advertises {each.place}, and from here: {finding.what}",
                    "set advertised.listeners of that broker to an address that can be reached from here"
                    f" ({finding.code})",
                )
            else:
                yield finding


def round_trips(facts: Cluster) -> Iterator[Finding]:
    """How long answers take."""
    times = facts.round_trips_ms
    if not times:
        return
    usual = median(times)
    if usual > _SLOW_MS:
        yield Finding(
            "round-trip-slow",
            f"a question to a broker takes {usual:.0f} ms (median of {len(times)})",
            "run workers near the brokers",
        )
    # A single slow answer is nothing: a broker's virtual machine pauses now and then.
    slow = sorted(times)[-2:][0]
    if slow - usual > _UNEVEN_MS:
        yield Finding(
            "round-trip-uneven",
            f"of {len(times)} questions to a broker two take {slow:.0f} ms or more, where {usual:.0f} ms are usual",
            "look at the network and at the brokers' load; raise log.session_timeout",
        )


def handlers(facts: Sequence[HandlerReach], now_ms: int) -> Iterator[Finding]:
    """Whether each could deliver."""
    for each in facts:
        who = f"handler {each.name!r} ({each.type})"
        reach = each.reach
        if each.problem is not None:
            yield Finding("handler-unusable", f"{who}: {each.problem}", f"mend the settings of handler {each.name!r}")
        elif each.proxy is not None:
            yield Finding(
                "handler-proxied",
                f"{who} is called through the proxy {each.proxy!r}",
                f"streamguard handle --test --handler {each.name} CONFIG",
            )
        elif reach is not None and (problem := _unreached(reach)):
            yield Finding(
                "handler-unreachable",
                f"{who} cannot reach {reach.place}: {problem}",
                "mend its url or host, start what listens there, or open the way to it",
            )
        elif reach is not None and reach.tls is not None and reach.tls.problem:
            yield Finding(
                "handler-tls",
                f"{who} cannot encrypt to {reach.place}: {reach.tls.detail}",
                "mend the server's certificate, or set ca_file of the handler",
            )
        elif reach is not None:
            yield from _expiring("handler-tls-soon", reach, now_ms, "renew the server's certificate before")


def _unreached(reach: Reach) -> str | None:
    silent = reach.tls.detail if reach.tls is not None and reach.tls.problem == "silent" else None
    return reach.resolve_problem or reach.connect_problem or silent


def clock(config: Config, facts: Cluster) -> Iterator[Finding]:
    """This machine's clock against the brokers'."""
    if facts.skew_ms is None:
        yield Finding(
            "clock-unknown",
            "the brokers' clock could not be asked for: that needs KRaft, and Describe on the cluster",
            "kafka-acls.sh --add --allow-principal User:... --operation Describe --cluster; or compare with date",
        )
        return
    off = abs(facts.skew_ms) - facts.skew_give_or_take_ms
    if off > config.preflight.max_clock_skew_ms:
        which = "ahead of" if facts.skew_ms > 0 else "behind"
        yield Finding(
            "clock-skew",
            f"the brokers' clock is {duration(abs(facts.skew_ms))} {which} this machine's",
            "run NTP (chronyc tracking) here and on the brokers",
        )
