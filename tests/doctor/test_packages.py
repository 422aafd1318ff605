"""Python and packages, on made-up facts and on this environment."""

from pathlib import Path

import pytest

from streamguard.doctor.checks.packages import codecs, packages
from streamguard.doctor.facts import Installed, Packages
from streamguard.doctor.gathering import machine
from tests.doctor.helpers import codes, config, topics

FINE = Packages("3.11.7", {"orjson": Installed("3.10.1")}, ">=3.11", ("orjson>=3.10", "polars>=1; extra == 'tables'"))


def test_what_is_declared_and_there_is_no_finding() -> None:
    """Extras that nothing asks for are not missed."""
    assert codes(packages(config(), FINE)) == []


@pytest.mark.parametrize(
    ("preflight", "code", "words", "mend"),
    [
        ({"python": ">=3.12"}, "python-version", "this is Python 3.11.7", "Python >=3.12"),
        (
            {"packages": {"scikit-learn": ">=1.4,<1.5"}},
            "package-missing",
            "scikit-learn",
            "pip install 'scikit-learn<1.5,>=1.4'",
        ),
        ({"packages": {"orjson": "<3"}}, "package-version", "version 3.10.1", "pip install 'orjson<3'"),
        ({"packages": {"Some_Thing": ""}}, "package-missing", "Some_Thing", "pip install Some_Thing"),
    ],
)
def test_what_is_declared_and_not_there(preflight: dict[str, object], code: str, words: str, mend: str) -> None:
    """The mend is a command to paste."""
    (found,) = packages(config(preflight=preflight), FINE)

    assert found.code == code
    assert words in found.what
    assert mend.replace("'scikit-learn<1.5,>=1.4'", "'scikit-learn>=1.4,<1.5'") in found.mend


def test_names_are_compared_as_pip_compares_them() -> None:
    """scikit-learn and Scikit_Learn are one."""
    facts = Packages("3.11.7", {"scikit-learn": Installed("1.4.2")})

    assert codes(packages(config(preflight={"packages": {"Scikit_Learn": "~=1.4"}}), facts)) == []


def test_a_package_whose_modules_are_gone() -> None:
    """Half an installation has its metadata, and fails at the import."""
    facts = Packages("3.11.7", {"orjson": Installed("3.10.1", is_importable=False)}, None, ("orjson>=3",))
    (found,) = packages(config(), facts)

    assert (found.code, found.mend) == ("package-missing", "pip install --force-reinstall orjson==3.10.1")


def test_a_version_that_is_none() -> None:
    """What somebody has built by hand is not judged where any version will do, and does not fit else."""
    facts = Packages("3.11.7", {"model": Installed("2024-mine")})

    assert codes(packages(config(preflight={"packages": {"model": ""}}), facts)) == []
    assert codes(packages(config(preflight={"packages": {"model": ">=1"}}), facts)) == ["package-version"]


def test_settings_that_need_an_extra() -> None:
    """A worker would end at its start."""
    wanted = config(log={"client": "confluent"}, join={"store": {"directory": "/x"}})
    found = list(packages(wanted, FINE))

    assert [(each.code, each.mend) for each in found] == [
        ("extra-missing", "pip install 'confluent-kafka>=2.16.1,<3'"),
        ("extra-missing", "pip install 'rocksdict>=0.3.29'"),
    ]


def test_a_codec_that_is_not_installed() -> None:
    """The topic says how it is kept; what producers choose is not known."""
    facts = topics(predictions={"compression.type": "zstd"}, labels={"compression.type": "producer"})
    (found,) = codecs(facts, FINE)

    assert (found.code, found.mend) == ("codec-missing", "pip install 'kafka-python[zstd]'")
    assert codes(codecs(facts, Packages("3.11", {"zstandard": Installed("0.23")}))) == []


def test_this_environment_has_what_streamguard_needs() -> None:
    """The tests run in it."""
    facts = machine.packages(config(preflight={"packages": {"pytest": "", "no-such-package": ""}}))

    assert codes(packages(config(), facts)) == []
    assert "pytest" in facts.installed
    assert "no-such-package" not in facts.installed


def test_modules_that_are_gone_are_seen_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One distribution is whole, of the other the metadata alone is left; importing either would raise."""
    for name in ("whole", "half"):
        (tmp_path / f"{name}_model-1.0.dist-info").mkdir()
        (tmp_path / f"{name}_model-1.0.dist-info" / "METADATA").write_text(f"Name: {name}-model\nVersion: 1.0\n")
        (tmp_path / f"{name}_model-1.0.dist-info" / "RECORD").write_text(f"{name}_model/__init__.py,,\n")
    (tmp_path / "whole_model").mkdir()
    (tmp_path / "whole_model" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    wanted = config(preflight={"packages": {"whole-model": "", "half-model": ""}})
    (found,) = packages(wanted, machine.packages(wanted))

    assert found.code == "package-missing"
    assert "half-model" in found.what
