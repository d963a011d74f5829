"""The runbook's AWS commands, run with the real AWS CLI against moto: bucket, policies, secrets.

The CLI takes a second or more to start, so the commands of the endpoints and of the database run only with
`AIRSCRIPT_RUNBOOK=all`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.eks.models import eks_backends

CHECKOUT = Path(__file__).parents[2]
RUNBOOK = (CHECKOUT / "docs" / "deploy-eks.md").read_text()
ACCOUNT = "123456789012"  # moto's
REGION = "eu-central-1"
POLICIES = {"secrets", "training"}
EVERYTHING = os.environ.get("AIRSCRIPT_RUNBOOK") == "all"

pytestmark = [
    pytest.mark.skipif(not all(map(shutil.which, ("aws", "jq", "openssl"))), reason="needs aws, jq and openssl"),
    pytest.mark.slow,
]


def block(heading: str, number: int = 0) -> str:
    section = RUNBOOK[RUNBOOK.index(f"## {heading}") :].split("\n## ")[0]
    return str(re.findall(r"^```bash\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[number])


@pytest.fixture(scope="module")
def account(moto_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An account with a cluster, after the runbook's steps that need only AWS."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(CHECKOUT / "k8s", folder / "k8s")
    for policy in (folder / "k8s" / "eks" / "policies").glob("*.json"):
        if policy.stem not in POLICIES:  # each needs another start of the CLI
            policy.unlink()
    clients = {
        name: boto3.client(name, endpoint_url=moto_endpoint, region_name=REGION)
        for name in ("s3", "iam", "ec2", "eks", "rds", "secretsmanager")
    }
    database = ["HOST=database.example AIRFLOW_PASSWORD=made-up-1 MLFLOW_PASSWORD=made-up-2"]
    if EVERYTHING:
        make_cluster(clients)
        # The endpoints; then up to the pod that connects to PostgreSQL.
        database = [
            block("4. The cluster", 1),
            block("5. The database"),
            block("5. The database", 1).partition("{\n")[0],
        ]
    steps = [block("1. Names"), block("2. The bucket"), block("3. Rights"), *database, block("6. Secrets")]
    script = "set -euo pipefail\n" + "\n".join(steps)
    interpreter = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{interpreter}:{os.environ['PATH']}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_PAGER": "",
    }
    done = subprocess.run(
        ["bash"], input=script, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {"folder": folder, "output": done.stdout + done.stderr, **clients}


def make_cluster(clients: dict[str, Any]) -> None:
    """Create what eksctl would have, as far as the database's step needs it."""
    ec2 = clients["ec2"]
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = []
    for number, zone in enumerate("ab"):
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
        subnets.append(made["Subnet"]["SubnetId"])
    ec2.create_tags(Resources=subnets, Tags=[{"Key": "kubernetes.io/role/internal-elb", "Value": "1"}])
    groups = [
        ec2.create_security_group(GroupName=name, Description="nodes", VpcId=vpc)["GroupId"]
        for name in ("own", "shared")
    ]
    ec2.create_tags(Resources=groups, Tags=[{"Key": "karpenter.sh/discovery", "Value": "airscript"}])
    clients["eks"].create_cluster(
        name="airscript",
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster",
        resourcesVpcConfig={"subnetIds": subnets},
    )
    # Set by EKS but not by moto.
    config = eks_backends[ACCOUNT][REGION].clusters["airscript"].resources_vpc_config
    config.update(vpcId=vpc, clusterSecurityGroupId=groups[0])


def test_no_placeholder_is_left(account: dict[str, Any]) -> None:
    for path in account["folder"].rglob("*"):
        assert not path.is_file() or "111122223333" not in path.read_text(errors="replace"), path


def test_the_bucket_is_private_and_has_lifecycle_rules(account: dict[str, Any]) -> None:
    bucket = {"Bucket": f"airscript-{ACCOUNT}"}
    block = account["s3"].get_public_access_block(**bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    assert account["s3"].get_bucket_versioning(**bucket)["Status"] == "Enabled"
    rules = {rule["ID"]: rule for rule in account["s3"].get_bucket_lifecycle_configuration(**bucket)["Rules"]}
    assert rules["logs"]["Expiration"] == {"Days": 90}
    assert not {"work/", "transcripts/", "corpus/"} & {rule["Filter"].get("Prefix") for rule in rules.values()}


def test_the_policies_exist(account: dict[str, Any]) -> None:
    made = {policy["PolicyName"] for policy in account["iam"].list_policies(Scope="Local")["Policies"]}
    assert made == {f"airscript-{name}" for name in POLICIES}


@pytest.mark.skipif(not EVERYTHING, reason="AIRSCRIPT_RUNBOOK is not all")
def test_the_database_is_private_and_reachable_from_the_nodes(account: dict[str, Any]) -> None:
    (database,) = account["rds"].describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"] is True
    assert database["PubliclyAccessible"] is False
    assert database["DeletionProtection"] is True
    (group,) = account["ec2"].describe_security_groups(
        GroupIds=[database["VpcSecurityGroups"][0]["VpcSecurityGroupId"]]
    )["SecurityGroups"]
    rules = group["IpPermissions"]
    assert {(rule["FromPort"], rule["ToPort"], len(rule["IpRanges"])) for rule in rules} == {(5432, 5432, 0)}
    assert len({pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]}) == 2


@pytest.mark.skipif(not EVERYTHING, reason="AIRSCRIPT_RUNBOOK is not all")
def test_the_endpoints_addresses_are_in_the_network_policies(account: dict[str, Any]) -> None:
    endpoints = {e["VpcEndpointType"]: e for e in account["ec2"].describe_vpc_endpoints()["VpcEndpoints"]}
    assert endpoints["Gateway"]["RouteTableIds"]
    assert f"airscript-{ACCOUNT}" in endpoints["Gateway"]["PolicyDocument"]
    interfaces = account["ec2"].describe_network_interfaces(
        NetworkInterfaceIds=endpoints["Interface"]["NetworkInterfaceIds"]
    )["NetworkInterfaces"]
    policy = yaml.safe_load((account["folder"] / "k8s" / "overlays" / "aws" / "storage-addresses.yaml").read_text())
    blocks = [ip_network(peer["ipBlock"]["cidr"]) for peer in policy["spec"]["egress"][0]["to"]]
    assert len(blocks) > len(interfaces), "S3's too"
    for interface in interfaces:
        assert any(ip_address(interface["PrivateIpAddress"]) in block for block in blocks)
    assert ip_network("192.0.2.0/24") not in blocks


def test_the_secrets_have_the_properties_that_external_secrets_reads(account: dict[str, Any]) -> None:
    manifests = (account["folder"] / "k8s" / "overlays" / "aws" / "secrets.yaml").read_text()
    for document in yaml.safe_load_all(manifests):
        if document["kind"] == "ExternalSecret":
            for item in document["spec"]["data"]:
                ref = item["remoteRef"]
                held = json.loads(account["secretsmanager"].get_secret_value(SecretId=ref["key"])["SecretString"])
                assert ref["property"] in held
                secret = held[ref["property"]]
                assert secret or ref["property"] == "alert-url"
                assert not secret or secret not in account["output"], "a secret was printed"


def test_the_secrets_are_valid_for_airflow(account: dict[str, Any]) -> None:
    from cryptography.fernet import Fernet
    from sqlalchemy import make_url

    held = json.loads(account["secretsmanager"].get_secret_value(SecretId="airscript/airflow")["SecretString"])
    Fernet(held["fernet-key"])
    url = make_url(held["connection"])
    assert (url.username, url.port, url.database) == ("airflow", 5432, "airflow")
    assert url.get_dialect().driver == "psycopg2", "the driver in the images"
    assert not url.query, "asyncpg rejects sslmode"
