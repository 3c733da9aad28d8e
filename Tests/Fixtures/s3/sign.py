#!/usr/bin/env python3
"""Signs requests with botocore: one JSON object a line in, one a line out. Its directory of packages is on PYTHONPATH."""

import datetime
import json
import sys

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.utils

SIGNED = ("content-md5", "content-type")   # besides host and x-amz-*: what else may be signed and is not by the client


class GivenPayload(botocore.auth.S3SigV4Auth):
    """S3's signer with the hash of the payload as it was given."""

    def __init__(self, credentials, region, payload_hash):
        super().__init__(credentials, "s3", region)
        self.payload_hash = payload_hash

    def payload(self, request):
        return self.payload_hash


def sign(case):
    now = datetime.datetime.fromtimestamp(case["time"], datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda *arguments, **options: now
    credentials = botocore.credentials.Credentials(case["key"], case["secret"], case["token"])
    headers = {name: value for name, value in case["headers"] if name.lower().startswith("x-amz-") or
               name.lower() in SIGNED}
    request = botocore.awsrequest.AWSRequest(
        method=case["method"], url=case["origin"] + botocore.utils.percent_encode(case["path"], safe="/-._~"),
        headers=headers, params=[tuple(item) for item in case["query"]])
    signer = GivenPayload(credentials, case["region"], case["hash"])
    signer.add_auth(request)
    query = signer.canonical_query_string(request)
    return {
        "url": request.url + ("?" + query if query else ""),
        "headers": {name.lower(): value for name, value in request.headers.items()},
    }


for line in sys.stdin:
    print(json.dumps(sign(json.loads(line))))
