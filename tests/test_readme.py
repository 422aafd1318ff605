"""What the README shows is what happens."""

import re
from pathlib import Path

import orjson
import pytest
import yaml

from streamguard.cli import app
from streamguard.config import parse
from streamguard.core.join import Input, JoinTask
from streamguard.core.records import Batch, TopicPartition
from streamguard.demo.running import run_demo
from streamguard.worker.topology import derive

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_the_config_of_the_readme_is_one() -> None:
    """A reader copies it first and asks questions later."""
    (text,) = blocks("yaml")
    config = parse(yaml.safe_load(text))

    assert config.monitors[0].name == "fraud"
    assert config.labels.fields.time is None


def test_the_records_of_the_readme_fit_its_config() -> None:
    """Following the page to the letter must work: the first thing that anyone does."""
    (text,), (records,) = blocks("yaml"), blocks("json")
    topology = derive(parse(yaml.safe_load(text)), 1, 1)
    prediction, label = (line.encode() for line in records.splitlines())
    task = JoinTask(0, topology.join)
    at_ms = orjson.loads(prediction)["timestamp"]
    for topic, value in (("predictions", prediction), ("labels", label)):
        batch = Batch(TopicPartition(topic, 0), [0], [at_ms], [b"r1"], [value], [()], 1)
        task.step(batch if topic == "predictions" else None, batch if topic == "labels" else None)

    assert task.counts(Input.PREDICTIONS)["matched"] == 1
    assert task.unmonitored() == {}


def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the five-minute way in."""
    (code,) = blocks("python")
    exec(code, {})  # noqa: S102 - it is ours

    assert capsys.readouterr().out.startswith("Drift: 10.0% of 100 predictions differ from their labels")


def test_the_figures_of_the_demo_are_those_it_prints(tmp_path: Path) -> None:
    """The demo is the same on every machine, so the README may quote it."""
    printed: list[str] = []
    run_demo(tmp_path, once=True, echo=printed.append)
    quoted = next(block for block in blocks("") if block.startswith("fault injected at"))

    assert [line for line in quoted.splitlines() if line not in printed] == []


@pytest.mark.parametrize("page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    """A page that moved takes its readers with it."""
    path = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("target", ["demo", "test", "check"])
def test_the_targets_exist(target: str) -> None:
    """Two commands do everything, and a third is for those who change it."""
    assert f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_commands_quoted_exist() -> None:
    """Every `python -m benchmarks.x` and `streamguard x` in the pages is one that can be run."""
    text = README + "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    modules = {name.replace(".", "/") for name in re.findall(r"python -m benchmarks\.(\w+(?:\.\w+)*)", text)}
    commands = set(re.findall(r"`streamguard ([a-z]+)", text))

    assert modules
    places = {name: (f"{name}.py", f"{name}/__main__.py") for name in modules}
    assert [name for name in places if not any((ROOT / "benchmarks" / each).exists() for each in places[name])] == []
    there = {command.callback.__name__ for command in app.registered_commands if command.callback is not None}
    assert commands <= {*there, *(str(group.name) for group in app.registered_groups)}
