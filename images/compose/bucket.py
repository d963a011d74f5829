"""Make the bucket, and refuse an S3 server on which two writers of one object may both succeed.

Steps publish with `If-None-Match: *` and rely on it: only one writer wins. Servers that ignore the header, or check it
before the body has come and not again, look well until two writers meet.
"""

from __future__ import annotations

import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.exceptions import ClientError

WRITERS = 8
REFUSALS = (412, 409)
"""Precondition failed; a conflict with another writer."""


def main(bucket: str) -> int:
    """0: the bucket is there, and one of several writers wins. 1: not so."""
    s3 = boto3.client("s3")
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    key = f"conditional-put-{uuid.uuid4().hex}"

    def write(_: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=os.urandom(1 << 20), IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in REFUSALS:
                return False
            raise
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = sum(pool.map(write, range(WRITERS)))
    late = write(0)
    s3.delete_object(Bucket=bucket, Key=key)
    print(f"bucket {bucket}: {won} of {WRITERS} writers at once won, {'one' if late else 'none'} afterwards")
    return 0 if won == 1 and not late else 1


if __name__ == "__main__":
    sys.exit(main(os.environ["BUCKET"]))
