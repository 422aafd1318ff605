"""The command line: thin functions that read a configuration and hand over.

Exit codes: 0 fine, 1 a check found trouble, 2 the call or the configuration is wrong, 3 a system cannot be
reached or used, 130 interrupted. Whatever is wrong on purpose arrives as a `StreamguardError`, whose text is
all that is shown; a traceback means a bug.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from streamguard import config as configuration
from streamguard.config import Config, Mode, Monitor
from streamguard.core.budget import spoken
from streamguard.core.durations import format_duration_ms
from streamguard.core.waiting import RECORD_BYTES
from streamguard.errors import StreamguardError

if TYPE_CHECKING:
    from streamguard.contracts.reading import Wanted

# Boxes and colours are for people; a pipe, a log or a test gets plain lines.
_MARKUP: Literal["rich"] | None = "rich" if sys.stdout.isatty() else None

app = typer.Typer(
    name="streamguard",
    help="Finds out that a model in production has gone wrong, from its predictions and their late labels.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=_MARKUP,
)
config_app = typer.Typer(no_args_is_help=True, rich_markup_mode=_MARKUP)
app.add_typer(config_app, name="config", help="Check, show or describe a configuration.")
profile_app = typer.Typer(no_args_is_help=True, rich_markup_mode=_MARKUP)
contract_app = typer.Typer(no_args_is_help=True, rich_markup_mode=_MARKUP)
app.add_typer(contract_app, name="contract", help="What records look like: learn it, or hold history against it.")
app.add_typer(profile_app, name="profile", help="What training data look like: build a profile, or show one.")
rejected_app = typer.Typer(no_args_is_help=True, rich_markup_mode=_MARKUP)
app.add_typer(rejected_app, name="rejected", help="Records that could not be used: count, show, send back.")

ConfigPath = Annotated[
    Path,
    typer.Argument(
        metavar="CONFIG",
        help="YAML file with the settings. Variables named STREAMGUARD_LOG__GROUP and the like win over it.",
        show_default=False,
    ),
]


def main() -> NoReturn:
    """Run a command and exit with its code."""
    try:
        app()
    except StreamguardError as error:
        for line in str(error).splitlines():
            typer.echo(f"error: {line}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"streamguard {version('streamguard')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Options of every command."""


# Commands stand below, each a thin function: load the configuration, call, print.


@app.command()
def run(
    config: ConfigPath,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Stop when all inputs were read to where they end now."),
    ] = False,
) -> None:
    """Run a worker: join predictions with labels, check, and publish alerts, until stopped.

    Start more workers with the same configuration to share the work. SIGTERM or Ctrl-C ends it after the
    transaction under way; a second one ends it at once, and nothing committed is lost or done twice.

    With http.port set it answers /livez, /readyz and /metrics (Prometheus). A worker that hangs or stalls ends
    itself with exit code 3: let a supervisor start it again.
    """
    from streamguard.worker.running import run_worker  # noqa: PLC0415 - its imports take a second

    run_worker(configuration.load(config), until_end=until_end, echo=typer.echo)


@app.command()
def doctor(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object, for programs.")] = False,
) -> None:
    """Find out whether a worker would run well here, before it runs: this machine, the brokers, topics and records.

    Nothing is written to the log. It takes 30 s at most. Exit code 0: nothing is wrong (there may be notes); 1: errors
    or warnings; 2: the configuration is wrong; 3: the log cannot be reached at all.
    """
    from streamguard.doctor.running import run_doctor  # noqa: PLC0415 - its imports take a second

    raise typer.Exit(run_doctor(configuration.load(config), config, typer.echo, is_json=as_json))


@app.command()
def rekey(
    config: ConfigPath,
    until_end: Annotated[
        bool,
        typer.Option("--until-end", help="Stop when all raw topics were read to where they end now."),
    ] = False,
) -> None:
    """Write payload logs and un-keyed records anew, as the keyed records that workers read, until stopped.

    Reads predictions.topic (and labels.topic) where a format or rekey is set. One process does the work; another one
    with the same configuration stands by. SIGTERM or Ctrl-C ends it after the transaction under way, and nothing
    committed is lost or done twice.
    """
    from streamguard.rekeying.running import run_rekey  # noqa: PLC0415 - its imports take a second

    run_rekey(configuration.load(config), until_end=until_end, echo=typer.echo)


@app.command()
def alerts(
    config: ConfigPath,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until stopped.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Only alerts with this event time (RFC 3339) or later."),
    ] = None,
) -> None:
    """Print the alerts as JSON lines, oldest first, as far as each partition keeps them."""
    from streamguard.worker.listing import list_alerts  # noqa: PLC0415 - its imports take a second

    list_alerts(configuration.load(config), since=since, follow=follow, echo=typer.echo)


@app.command()
def handle(
    config: ConfigPath,
    handler: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this handler; may be repeated. Default: all.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Deliver a sample by each, and stop.")] = False,
) -> None:
    """Deliver alerts by the handlers of the configuration, until stopped: each is a consumer group of its own.

    What cannot be delivered is tried again, and at last goes to the topic of dead letters. SIGTERM or Ctrl-C ends it
    after the tries under way. With --test the exit code is 1 where one fails.
    """
    from streamguard.handlers.running import run_handlers, run_test  # noqa: PLC0415 - its imports take a second

    loaded = configuration.load(config)
    if test:
        raise typer.Exit(1 if run_test(loaded, tuple(handler or ()), typer.echo) else 0)
    run_handlers(loaded, tuple(handler or ()))


@app.command()
def probe(
    config: ConfigPath,
    once: Annotated[bool, typer.Option("--once", help="Call each once, print what came of it, and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON lines.")] = False,
) -> None:
    """Call the endpoints of the configuration on their schedule, and write what comes of it to a topic, until stopped.

    With --once nothing is written; the exit code is 0 where all is well, 1 where an answer is not as expected, 3 where
    an endpoint cannot be reached.
    """
    from streamguard.worker.probes import run_once, run_probes  # noqa: PLC0415 - its imports take a second

    loaded = configuration.load(config)
    if once:
        raise typer.Exit(run_once(loaded, typer.echo, is_json=as_json))
    run_probes(loaded, typer.echo, is_json=as_json)


@app.command()
def backtest(
    config: ConfigPath,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Topics from this Kafka timestamp on (RFC 3339). Default: all."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Topics to before this Kafka timestamp. Default: to their end now."),
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Predictions from files instead: JSON Lines, Parquet or CSV; may be repeated."
        ),
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Labels from files. A directory or a pattern stands for its files."),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(
            help="ideal: join the inputs again. faithful: what workers have joined, their idle inputs included."
        ),
    ] = Mode.IDEAL,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What went wrong, and when (JSON Lines, CSV, YAML): alerts are scored by it."
        ),
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(metavar="FROM/TO", help="Event times between which nothing was wrong: suggests settings."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write report.html, report.json and alerts.jsonl there."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many work at it. Default: as many as there are cores.")
    ] = None,
) -> None:
    """Replay history through the same checks, and say what they would have raised.

    Topics are only read: no group is joined, nothing is committed or written. What else to try is said in the section
    backtest of the configuration. Ctrl-C ends it early with a report of what was read. Exit code 1: the result is
    partial, or nothing was judged.
    """
    from streamguard.replay.running import Asked, run_backtest  # noqa: PLC0415 - its imports take a second

    asked = Asked(since, until, tuple(predictions or ()), tuple(labels or ()), mode, truth, normal, out, processes)
    raise typer.Exit(run_backtest(configuration.load(config), config.name, asked, typer.echo))


@app.command()
def explain(
    alert_id: Annotated[str, typer.Argument(metavar="ALERT_ID", help="Of an alert, or its first letters.")],
    where: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG|DIR", help="The configuration whose alerts topic holds it, or a report's directory."
        ),
    ],
) -> None:
    """Show what is behind an alert: what its check saw, records around the onset, and what the wrong ones share."""
    from streamguard.replay.explained import run_explain  # noqa: PLC0415 - its imports take a second

    run_explain(alert_id, where, typer.echo)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Run as fast as possible, sum up and stop.")] = False,
    data: Annotated[Path, typer.Option(help="Directory of the demo's log; the last demo's is replaced.")] = Path(
        "data"
    ),
    to: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Send the demo's records to the topics of this configuration, and stop."),
    ] = None,
) -> None:
    """Run the whole system on real data with a fault in it, on an embedded log: no broker is needed."""
    from streamguard.demo.running import run_demo, send_story  # noqa: PLC0415 - its imports take a second

    if to is None:
        run_demo(data, once=once, echo=typer.echo)
    else:
        send_story(configuration.load(to), echo=typer.echo)


@app.command()
def bench(
    bootstrap: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="A Kafka broker to measure on, too; topics made there are removed."),
    ] = None,
    predictions: Annotated[int, typer.Option(min=1000, help="How many, each with its label.")] = 1_000_000,
    scenario: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="main, partitions, segments, records or delay; may be repeated."),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds; the quickest counts.")] = 1,
    out: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Write what was found.")] = None,
) -> None:
    """Measure how fast workers are on this machine, in whole processes over made-up records.

    Every run over the same records must give the same alerts and the same counts; where not, it ends with code 1.
    """
    from streamguard.bench.running import Wanted, run_bench  # noqa: PLC0415 - its imports take a second

    run_bench(Wanted(bootstrap, predictions, tuple(scenario or ()), repeat), typer.echo, out)


@profile_app.command("build")
def build_profile(
    source: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="FILE",
            help="Training data: Parquet, CSV or JSON Lines; may be repeated.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.json", help="Where to write.", show_default=False)],
    text: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column of running text; may be repeated.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Its predictions.fields say what is prediction, score, ID and time."),
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that is no feature; may be repeated.")
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The truth, to hold predictions against.")] = None,
    prediction: Annotated[str | None, typer.Option(metavar="COLUMN", help="The model's answer.")] = None,
    score: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The model's probability of the positive class.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="LABEL", help="The positive class. Default: 1 and true.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the profile. Default: that of the file.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model that was trained.")] = None,
    model_version: Annotated[str | None, typer.Option("--version", metavar="TEXT", help="Its version.")] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="Category values and patterns in fewer rows are not named.")
    ] = 10,
) -> None:
    """Sum up training data, to hold production against: no rows, but what each feature looks like.

    Columns are named by dotted paths (address.country). Memory is bounded, whatever the number of rows.
    """
    from streamguard.profile.building import Asked  # noqa: PLC0415 - its imports take a second
    from streamguard.profile.running import positive_of, run_build  # noqa: PLC0415 - its imports take a second

    asked = Asked(
        text=tuple(text or ()),
        label=label,
        prediction=prediction,
        score=score,
        positive=positive_of(positive),
        leave_out=tuple(leave_out or ()),
        config=None if config is None else configuration.load(config),
        name=name,
        model=model,
        version=model_version,
        min_count=min_count,
    )
    run_build(source, asked, out, typer.echo)


@profile_app.command("show")
def show_profile(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A profile.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, as it is in the file.")] = False,
) -> None:
    """Print a profile: each feature on a line, then texts, predictions and what could not be said."""
    from streamguard.profile.running import run_show  # noqa: PLC0415 - its imports take a second

    run_show(file, typer.echo, is_json=as_json)


RejectedFrom = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="Rejected at this time (RFC 3339) or later.")
]
RejectedTo = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Rejected before this time.")]
RejectedReason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Only those with this in their reason.")
]
RejectedTopic = Annotated[str | None, typer.Option("--topic", metavar="TOPIC", help="Only those that came from there.")]
DeadLetters = Annotated[
    bool, typer.Option("--dead-letters", help="Alerts that handlers could not deliver, instead of rejected records.")
]


@rejected_app.command("list")
def list_rejected(
    config: ConfigPath,
    since: RejectedFrom = None,
    until: RejectedTo = None,
    reason: RejectedReason = None,
    topic: RejectedTopic = None,
    dead: DeadLetters = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Count them by reason, and by the partition that they came from."""
    from streamguard.rejected.filters import Asked  # noqa: PLC0415 - its imports take a second
    from streamguard.rejected.listing import run_list  # noqa: PLC0415 - its imports take a second

    asked = Asked(since, until, reason, topic)
    run_list(configuration.load(config), asked, is_dead=dead, is_json=as_json, echo=typer.echo)


@rejected_app.command("show")
def show_rejected(
    config: ConfigPath,
    since: RejectedFrom = None,
    until: RejectedTo = None,
    reason: RejectedReason = None,
    topic: RejectedTopic = None,
    at: Annotated[
        str | None, typer.Option(metavar="PARTITION:OFFSET", help="The one at this place of the rejected topic.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 10,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes of its value, nothing else; with --at.")] = False,
    dead: DeadLetters = False,
) -> None:
    """Print them one by one: where from, why, key, headers and value."""
    from streamguard.rejected.filters import Asked  # noqa: PLC0415 - its imports take a second
    from streamguard.rejected.showing import run_raw, run_show  # noqa: PLC0415 - its imports take a second

    loaded = configuration.load(config)
    if raw:
        run_raw(loaded, at, is_dead=dead)
    else:
        run_show(loaded, Asked(since, until, reason, topic), at, limit=limit, is_dead=dead, echo=typer.echo)


@rejected_app.command("replay")
def replay_rejected(
    config: ConfigPath,
    since: RejectedFrom = None,
    until: RejectedTo = None,
    reason: RejectedReason = None,
    topic: RejectedTopic = None,
    to_topic: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Send to this topic, not to where each came from.")
    ] = None,
    mend: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Applied to each value, bytes to bytes; None: leave the record."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also those that would be rejected again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were sent back before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> None:
    """Send them back to the topic and partition that they came from, each once, however often this runs.

    What the options do not select, and what would be rejected again, stays for later runs. The next run goes on with
    one that was interrupted. Exit code 1: not all that was selected could be noted as sent, and so was not sent.
    """
    from streamguard.rejected.filters import Asked  # noqa: PLC0415 - its imports take a second
    from streamguard.rejected.replaying import Wanted, run_replay  # noqa: PLC0415 - its imports take a second

    wanted = Wanted(Asked(since, until, reason, topic), to_topic, mend, force, again, dry_run)
    raise typer.Exit(run_replay(configuration.load(config), wanted, typer.echo))


_Side = Annotated[
    Literal["predictions", "labels"], typer.Argument(metavar="INPUT", help="predictions or labels.", show_default=False)
]
_History = Annotated[
    list[Path] | None,
    typer.Option("--file", metavar="FILE", help="JSON Lines, Parquet or CSV, instead of the topic; may be repeated."),
]
_Since = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Of the topic: records since then.")]
_Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Of the topic: records before that.")]
_Records = Annotated[int, typer.Option("--records", min=1, help="Read so many at most.")]


@contract_app.command("learn")
def learn_contract(
    config: ConfigPath,
    side: _Side,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.json", help="Where to write.", show_default=False)],
    file: _History = None,
    since: _Since = None,
    until: _Until = None,
    records: _Records = 1_000_000,
) -> None:
    """Learn from a time in which all was well what records look like, as a JSON Schema to read and mend."""
    from streamguard.contracts.running import learn  # noqa: PLC0415 - its imports take a while

    learn(configuration.load(config), _wanted(side, file, since, until, records), out, typer.echo)


@contract_app.command("check")
def check_contract(
    config: ConfigPath,
    side: _Side,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="A contract. Default: that of the configuration.")
    ] = None,
    file: _History = None,
    since: _Since = None,
    until: _Until = None,
    records: _Records = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Hold history against a contract; ends with code 1 where it differs oftener than is usual."""
    from streamguard.contracts.running import check  # noqa: PLC0415 - its imports take a while

    wanted = _wanted(side, file, since, until, records)
    raise typer.Exit(check(configuration.load(config), wanted, schema, typer.echo, is_json=as_json))


def _wanted(side: str, file: list[Path] | None, since: str | None, until: str | None, records: int) -> "Wanted":
    from streamguard.contracts.reading import Wanted  # noqa: PLC0415 - its imports take a while
    from streamguard.core.join import Input  # noqa: PLC0415 - its imports take a while
    from streamguard.replay.moments import span_of  # noqa: PLC0415 - its imports take a while

    return Wanted(Input[side.upper()], tuple(file or ()), *span_of(since, until), records)


@config_app.command("check")
def check_config(config: ConfigPath) -> None:
    """Validate a configuration and sum up what it does.

    Every problem is listed, with its line. Brokers are not asked, so that this works anywhere.
    """
    from streamguard.worker.arriving import arrivals  # noqa: PLC0415 - its imports take a while
    from streamguard.worker.topology import references  # noqa: PLC0415 - its imports take a while

    loaded = configuration.load(config)
    # Profiles and contracts are read, functions imported: else a worker would be the first to say what is wrong.
    references(loaded)
    arrivals(loaded, 1)
    compared = len(configuration.variants(loaded)) - 1
    lines = [f"backtest: {compared} settings beside this one"] if compared else []
    typer.echo("\n".join([f"ok: {config}", *_summary(loaded), *lines]))


@config_app.command("show")
def show_config(config: ConfigPath) -> None:
    """Print the configuration in effect: defaults and the environment filled in, secrets hidden."""
    typer.echo(configuration.load(config).as_yaml(), nl=False)


@config_app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of the configuration, by which an editor completes and explains settings.

    Save it, and put `# yaml-language-server: $schema=FILE` on the first line of the configuration.
    """
    typer.echo(json.dumps(configuration.schema(), indent=2))


def _summary(config: Config) -> list[str]:
    log, topics, join = config.log, config.topics, config.join
    place = f"Kafka at {','.join(log.bootstrap_servers)}" if log.kind == "kafka" else f"the file {log.path}"
    inputs = f"{topics['predictions']} + {topics['labels']}"
    # A prediction and a label for each, and both are remembered for the window.
    fitting, held = join.max_waiting, f"{join.max_waiting:,} records"
    if join.store.directory is None:
        fitting = min(fitting, join.max_waiting_bytes // RECORD_BYTES)
        held += f" and {join.max_waiting_bytes / 2**20:,.0f} MiB"
    else:
        held += f", about {join.store.memory_records:,} of them in memory"
    per_second = fitting * 1000 // (2 * config.horizon_ms)
    enough = f"about {per_second:,} predictions a second with their labels over {format_duration_ms(config.horizon_ms)}"
    contracts = [each.contract for each in config.sides.values() if each.contract is not None]
    is_budgeted = any(monitor.budgeted or monitor.data for monitor in config.monitors) or bool(contracts)
    return [
        f"log: {place}, group {log.group}",
        *_rekeyed(config),
        f"topics: {inputs} -> {topics['outcomes']} -> {topics['alerts']}",
        f"topics on the side: rejected to {topics['rejected']}, state in {topics['state']}",
        *(line for role in ("predictions", "labels") for line in _arriving(config, role)),
        *(f"monitor {monitor.name}: {_watched(monitor)}" for monitor in config.monitors),
        *([f"environment: topic {config.environment_topic}"] if config.environment is not None else []),
        *([f"probes: {len(config.probes)}, by `streamguard probe`"] if config.probes else []),
        *([f"budget: {spoken(config.budget.false_alarms_per_month)}, on average"] if is_budgeted else []),
        f"memory: each input partition holds at most {held}, enough for {enough}",
    ]


def _rekeyed(config: Config) -> list[str]:
    return [
        f"rekey: `streamguard rekey` reads {name} ({section.format.type}) from {section.topic}, and writes"
        f" {config.topics[name]}, which the join reads"
        for name, section in config.sides.items()
        if section.is_rekeyed
    ]


def _arriving(config: Config, role: str) -> list[str]:
    section = config.sides[role]
    checks = []
    if section.contract is not None:
        refused = f", rejecting by {', '.join(section.contract.reject)}" if section.contract.reject else ""
        checks.append(f"contract {section.contract.schema_file}{refused}")
    if section.volume is not None:
        silent = section.volume.silent_after_ms
        hard = "" if silent is None else f", silent after {format_duration_ms(silent)}"
        checks.append(f"volume below {section.volume.falls_to_percent:g}% of usual{hard}")
    return [f"{role}: {'; '.join(checks)}"] if checks else []


def _watched(monitor: Monitor) -> str:
    match = ", ".join(f"{field} = {json.dumps(value, ensure_ascii=False)}" for field, value in monitor.match.items())
    text = f"{monitor.loss.value} of {f'predictions with {match}' if match else 'all predictions'}"
    if monitor.split_by:
        text += f", by {', '.join(monitor.split_by)}"
    return f"{text}; {monitor.checks} ({monitor.severity})"


if __name__ == "__main__":
    main()
