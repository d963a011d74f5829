"""Create the bucket, and reject an S3 server without working conditional puts.

Steps publish with `If-None-Match: *` and rely on exactly one of several writers succeeding. Servers that ignore the
header, or check it only before the body is received, fail only when two writers collide, so this is tested here.
"""

from __future__ import annotations

import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.exceptions import ClientError

WRITERS = 8
REJECTED = (412, 409)
"""Precondition failed; conflict with another writer."""


def main(bucket: str) -> int:
    """Returns 0 if the bucket exists and exactly one of several writers succeeds, otherwise 1."""
    s3 = boto3.client("s3")
    if bucket not in {found["Name"] for found in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    key = f"conditional-put-{uuid.uuid4().hex}"

    def write(_: int) -> bool:
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=os.urandom(1 << 20), IfNoneMatch="*")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in REJECTED:
                return False
            raise
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        n_succeeded = sum(pool.map(write, range(WRITERS)))
    late = write(0)
    s3.delete_object(Bucket=bucket, Key=key)
    print(f"bucket {bucket}: {n_succeeded} of {WRITERS} parallel writers succeeded, {'one' if late else 'none'} later")
    return 0 if n_succeeded == 1 and not late else 1


if __name__ == "__main__":
    sys.exit(main(os.environ["BUCKET"]))
