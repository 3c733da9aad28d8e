#!/usr/bin/env python3
"""Records what a server of S3 answers: record.py URL DIRECTORY KEY SECRET.

Each file has the status, the fields of the header, an empty line and the body, byte for byte. The server has to be empty.
"""

import datetime
import pathlib
import sys

import boto3
import botocore.config
import botocore.exceptions
import botocore.handlers

url, directory, key, secret = sys.argv[1:]
directory = pathlib.Path(directory)
directory.mkdir(parents=True, exist_ok=True)
config = botocore.config.Config(
    retries={"total_max_attempts": 1}, request_checksum_calculation="when_required",
    response_checksum_validation="when_required", s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret,
                      region_name="us-east-1", config=config)
answer = {}


def keep(response_dict, **_):
    answer.update(response_dict)


client.meta.events.register("before-parse.s3", keep)
# As ours, without the encoding that botocore asks for unasked: what is encoded is not the same on all servers.
client.meta.events.unregister("before-parameter-build.s3.ListMultipartUploads",
                              botocore.handlers.set_list_objects_encoding_type_url)


def record(name, operation, client=client, **arguments):
    """Sends a request; an error is an answer too."""
    answer.clear()
    try:
        result = getattr(client, operation)(**arguments)
    except botocore.exceptions.ClientError as error:
        result = error.response
    body = answer["body"]
    body = body if isinstance(body, bytes) else b""
    head = [str(answer["status_code"])] + [f"{field}: {value}" for field, value in answer["headers"].items()]
    (directory / f"{name}.http").write_bytes("\n".join(head).encode() + b"\n\n" + body)
    print(name, answer["status_code"])
    return result


AWKWARD = ["a b", "a+b", "a=b&c", "dir/x", "dir/y", "dir-z", "(x)'*!", "quote\"<>&", "ümläut/ß", "100%25", "plain"]
BUCKET = {"Bucket": "bucket"}

client.create_bucket(**BUCKET)
for name in AWKWARD:
    client.put_object(**BUCKET, Key=name, Body=name.encode())
record("put", "put_object", **BUCKET, Key="plain", Body=b"plain", ChecksumAlgorithm="SHA256")
record("put-exists", "put_object", **BUCKET, Key="plain", Body=b"plain", IfNoneMatch="*")
record("put-bad-digest", "put_object", **BUCKET, Key="bad", Body=b"plain", ChecksumSHA256="A" * 43 + "=")
client.delete_object(**BUCKET, Key="bad")   # some servers check nothing
record("put-no-bucket", "put_object", Bucket="no-bucket", Key="plain", Body=b"plain")
record("get-range", "get_object", **BUCKET, Key="plain", Range="bytes=1-3")
record("get-beyond", "get_object", **BUCKET, Key="plain", Range="bytes=100-200")
record("get-none", "get_object", **BUCKET, Key="none")
record("get-other", "get_object", **BUCKET, Key="plain", IfMatch='"00000000000000000000000000000000"')
record("head", "head_object", **BUCKET, Key="plain", ChecksumMode="ENABLED")
record("head-none", "head_object", **BUCKET, Key="none")
record("head-bucket", "head_bucket", **BUCKET)
record("head-no-bucket", "head_bucket", Bucket="no-bucket")
record("list", "list_objects_v2", **BUCKET)
record("list-encoded", "list_objects_v2", **BUCKET, EncodingType="url")
record("list-delimited", "list_objects_v2", **BUCKET, EncodingType="url", Delimiter="/")
page = record("list-page-1", "list_objects_v2", **BUCKET, EncodingType="url", MaxKeys=4)
record("list-page-2", "list_objects_v2", **BUCKET, EncodingType="url", MaxKeys=4,
       ContinuationToken=page["NextContinuationToken"])
record("list-empty", "list_objects_v2", **BUCKET, Prefix="nothing/")
record("list-no-bucket", "list_objects_v2", Bucket="no-bucket")
record("delete", "delete_object", **BUCKET, Key="a=b&c")
record("delete-none", "delete_object", **BUCKET, Key="none")
record("delete-several", "delete_objects", **BUCKET,
       Delete={"Objects": [{"Key": "a+b"}, {"Key": "quote\"<>&"}, {"Key": "none"}]})
record("versioning-off", "get_bucket_versioning", **BUCKET)
record("lock-none", "get_object_lock_configuration", **BUCKET)

created = record("create", "create_multipart_upload", **BUCKET, Key="up load+1", ChecksumAlgorithm="SHA256")
upload = {**BUCKET, "Key": "up load+1", "UploadId": created["UploadId"]}
parts = []
for number, size in ((1, 5 << 20), (2, 5)):
    part = record(f"part-{number}", "upload_part", **upload, PartNumber=number, Body=b"x" * size, ChecksumAlgorithm="SHA256")
    parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part.get("ChecksumSHA256", "")})
record("part-unknown", "upload_part", **{**upload, "UploadId": "unknown"}, PartNumber=1, Body=b"x")
record("parts", "list_parts", **upload)
record("parts-page-1", "list_parts", **upload, MaxParts=1)
record("uploads", "list_multipart_uploads", **BUCKET)
record("complete-wrong", "complete_multipart_upload", **upload,
       MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"00000000000000000000000000000000"'}]})
record("complete", "complete_multipart_upload", **upload,
       MultipartUpload={"Parts": [{name: value for name, value in part.items() if value} for part in parts]})
client.put_object(**BUCKET, Key="up load+1", Body=b"x")
small = client.create_multipart_upload(**BUCKET, Key="small")
upload = {**BUCKET, "Key": "small", "UploadId": small["UploadId"]}
tags = [client.upload_part(**upload, PartNumber=number, Body=b"x")["ETag"] for number in (1, 2)]
record("complete-small", "complete_multipart_upload", **upload,
       MultipartUpload={"Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]})
record("abort", "abort_multipart_upload", **upload)
record("complete-aborted", "complete_multipart_upload", **upload,
       MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tags[0]}]})

LOCKED = {"Bucket": "locked"}
client.create_bucket(**LOCKED, ObjectLockEnabledForBucket=True)
record("versioning-on", "get_bucket_versioning", **LOCKED)
record("lock", "get_object_lock_configuration", **LOCKED)
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
held = record("put-locked", "put_object", **LOCKED, Key="held", Body=b"x", ChecksumAlgorithm="SHA256",
              ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
record("head-locked", "head_object", **LOCKED, Key="held")
record("delete-locked", "delete_object", **LOCKED, Key="held", VersionId=held["VersionId"])
record("delete-several-locked", "delete_objects", **LOCKED,
       Delete={"Objects": [{"Key": "held", "VersionId": held["VersionId"]}, {"Key": "none"}]})
record("delete-marker", "delete_object", **LOCKED, Key="held")
PRESET = {"Bucket": "preset"}
client.create_bucket(**PRESET, ObjectLockEnabledForBucket=True)
client.put_object_lock_configuration(
    **PRESET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled",
                                       "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}})
record("lock-default", "get_object_lock_configuration", **PRESET)

if directory.name == "moto":   # the other has no such service at that port
    sts = boto3.client("sts", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name="us-east-1")
    sts.meta.events.register("before-parse.sts", keep)
    record("assume-role", "assume_role_with_web_identity", client=sts, RoleArn="arn:aws:iam::123456789012:role/backup",
           RoleSessionName="recording", WebIdentityToken="token")

wrong = boto3.client("s3", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key="wrong", region_name="us-east-1",
                     config=config)
unknown = boto3.client("s3", endpoint_url=url, aws_access_key_id="UNKNOWNKEY", aws_secret_access_key=secret,
                       region_name="us-east-1", config=config)
for name, other in (("wrong-secret", wrong), ("unknown-key", unknown)):
    other.meta.events.register("before-parse.s3", keep)
    record(name, "list_objects_v2", client=other, **BUCKET)
