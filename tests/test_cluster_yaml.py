"""``cluster.yaml`` is valid for Ray's launcher and correct in what the launcher does not check."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
TOKEN = "~/.ray/auth_token"

# The keys that the comment tells users with their own machines to remove.
ONLY_AWS = ("provider", "auth", "head_node_type", "available_node_types", "head_setup_commands")


def parse(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


def on_aws() -> dict[str, Any]:
    return parse(TEXT)


def on_premise() -> dict[str, Any]:
    """Return the file as edited for one's own machines, according to its last comment."""
    lines = TEXT.splitlines()
    block = lines[lines.index("# max_workers: 2  # as many as worker_ips") :]
    variant = parse("\n".join(line.removeprefix("# ") for line in block))
    common = {key: value for key, value in parse(TEXT).items() if key not in ONLY_AWS}
    return {**common, **variant}


VARIANTS = pytest.mark.parametrize("cluster", [on_aws(), on_premise()], ids=["aws", "on-premise"])


@VARIANTS
def test_the_file_fits_ray_s_own_schema(cluster: dict[str, Any]) -> None:
    schema = json.loads(Path(ray.autoscaler.__file__).with_name("ray-schema.json").read_text())
    jsonschema.validate(cluster, schema)


@VARIANTS
def test_the_launcher_accepts_the_file(cluster: dict[str, Any]) -> None:
    prepared = prepare_config(deepcopy(cluster))
    validate_config(prepared)
    assert prepared["cluster_name"] == "tuner"


# The launcher checks none of the following.


@VARIANTS
def test_names_with_a_default_in_ray_are_given(cluster: dict[str, Any]) -> None:
    assert cluster["cluster_name"] == "tuner"
    assert cluster["auth"]["ssh_user"]
    assert cluster["max_workers"] >= 1
    assert "docker" not in cluster
    assert "min_workers" not in cluster


def test_the_region_is_given_and_contains_the_zones() -> None:
    provider = on_aws()["provider"]
    assert provider["region"]
    assert all(zone.startswith(provider["region"]) for zone in provider["availability_zone"].split(","))


def test_the_head_is_a_cpu_machine_without_trials() -> None:
    cluster = on_aws()
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]


def test_workers_are_gpu_spot_machines_within_limits() -> None:
    cluster = on_aws()
    [worker] = [kind for name, kind in cluster["available_node_types"].items() if name != "head"]
    assert worker["resources"].keys() == {"CPU", "GPU"}
    assert worker["resources"]["GPU"] >= 1
    assert 0 <= worker["min_workers"] <= worker["max_workers"] <= cluster["max_workers"]
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_node_settings_use_keys_of_ec2() -> None:
    keys = {"InstanceType", "ImageId", "BlockDeviceMappings", "InstanceMarketOptions"}
    for kind in on_aws()["available_node_types"].values():
        assert kind["node_config"].keys() <= keys
        assert re.fullmatch(r"ami-[0-9a-f]{17}", kind["node_config"]["ImageId"])
        assert re.fullmatch(r"[a-z0-9]+\.[a-z0-9]+", kind["node_config"]["InstanceType"])


def test_on_premise_every_machine_but_the_head_is_a_worker() -> None:
    cluster = on_premise()
    provider = cluster["provider"]
    assert provider["head_ip"] not in provider["worker_ips"]
    assert cluster["max_workers"] == len(provider["worker_ips"])
    assert f"--node-ip-address={provider['head_ip']} " in cluster["head_start_ray_commands"][-1]
    assert "RAY_UP_enable_autoscaler_v2=0 ray up" in TEXT


@VARIANTS
def test_every_node_gets_the_token_and_asks_for_it(cluster: dict[str, Any]) -> None:
    assert cluster["file_mounts"][TOKEN] == TOKEN
    assert cluster["setup_commands"][0] == f"chmod 600 {TOKEN}"
    assert exported(cluster)["RAY_AUTH_MODE"] == "token"


@VARIANTS
def test_every_node_is_checked_frequently(cluster: dict[str, Any]) -> None:
    assert {name: value for name, value in exported(cluster).items() if "health" in name} == {
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "2000",
        "RAY_health_check_failure_threshold": "3",
    }


@VARIANTS
def test_every_node_installs_the_mounted_project_with_its_constraints(cluster: dict[str, Any]) -> None:
    [install] = [command for command in cluster["setup_commands"] if "pip install" in command]
    assert install.endswith('-c ~/tuner/constraints.txt ~/tuner "ray[default,tune]"')
    mounts = {target: source for target, source in cluster["file_mounts"].items() if target != TOKEN}
    assert all(target == f"~/tuner/{source}" for target, source in mounts.items())
    assert {"tuner", "trainables", "pyproject.toml", "constraints.txt"} <= set(mounts.values())
    assert all((ROOT / source).exists() for source in mounts.values())


@VARIANTS
def test_the_dashboard_listens_on_the_head_only(cluster: dict[str, Any]) -> None:
    start = cluster["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in start
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in start
    assert "--address=$RAY_HEAD_IP:6379" in cluster["worker_start_ray_commands"][-1]


def test_the_file_contains_no_secrets() -> None:
    assert not re.search(r"AKIA[0-9A-Z]{16}|secret|password|BEGIN .*KEY|[0-9a-f]{32}", TEXT, re.IGNORECASE)


def exported(cluster: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that the set-up commands write into ``~/.bashrc``."""
    [command] = [command for command in cluster["setup_commands"] if ">> ~/.bashrc" in command]
    line = command.split("'")[1]
    assert line.startswith("export ")
    return dict(assignment.split("=", 1) for assignment in line.removeprefix("export ").split())
