"""Copies all objects of a bucket into a directory: copy_bucket.py ENDPOINT BUCKET DIR."""

import os
import sys

import boto3

endpoint, bucket, to = sys.argv[1:]
keys = dict(aws_access_key_id="A", aws_secret_access_key="s", region_name="us-east-1")
s3 = boto3.client("s3", endpoint_url=endpoint, **keys)
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
    for found in page.get("Contents", []):
        path = os.path.join(to, found["Key"])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        s3.download_file(bucket, found["Key"], path)
