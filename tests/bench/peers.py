"""What others need for the last part of the walk alone: NDJSON to partitioned Parquet.

    peers.py duckdb|chdb EVENTS_NDJSON OUTPUT_DIRECTORY

One conversion in this process, as its users would write it: columns and types
are told, nothing is inferred; the open objects stay JSON text; zstd level 1;
two threads. No fsync, no transport, no journal, no second copy of anything.
"""

import os
import sys

SESSION_ISSUER = "type {t}, principalId {t}, arn {t}, accountId {t}, userName {t}"
TEXTS = (
    "eventVersion eventSource eventName awsRegion sourceIPAddress userAgent errorCode errorMessage"
    " requestID eventID eventType apiVersion recipientAccountId sharedEventID vpcEndpointId"
    " vpcEndpointAccountId eventCategory sessionCredentialFromConsole"
).split()
OBJECTS = (
    "requestParameters responseElements additionalEventData serviceEventDetails addendum"
    " edgeDeviceDetails eventContext insightDetails"
).split()
FLAGS = ["readOnly", "managementEvent"]


def duckdb_columns():
    text = "VARCHAR"
    issuer = SESSION_ISSUER.format(t=text)
    columns = {name: text for name in TEXTS}
    columns |= {name: "JSON" for name in OBJECTS} | {name: "BOOLEAN" for name in FLAGS}
    columns["eventTime"] = "TIMESTAMP"
    columns["userIdentity"] = (
        f"STRUCT(type {text}, principalId {text}, arn {text}, accountId {text}, accessKeyId {text},"
        f" userName {text}, invokedBy {text}, identityProvider {text},"
        f" sessionContext STRUCT(attributes STRUCT(creationDate {text}, mfaAuthenticated {text}),"
        f" sessionIssuer STRUCT({issuer}), webIdFederationData STRUCT(federatedProvider {text},"
        f" attributes JSON), sourceIdentity {text}, ec2RoleDelivery {text}))"
    )
    columns["tlsDetails"] = (
        f"STRUCT(tlsVersion {text}, cipherSuite {text}, clientProvidedHostHeader {text},"
        f" keyExchange {text})"
    )
    columns["resources"] = f"STRUCT(ARN {text}, accountId {text}, type {text})[]"
    return columns


def by_duckdb(source, output):
    import duckdb

    told = ", ".join(f"'{name}': '{kind}'" for name, kind in duckdb_columns().items())
    database = duckdb.connect()
    database.execute("SET threads = 2; SET preserve_insertion_order = false")
    database.execute(
        f"""COPY (
          SELECT *, recipientAccountId AS account, awsRegion AS region,
                 CAST(eventTime AS DATE) AS date
          FROM read_json('{source}', format = 'newline_delimited', columns = {{{told}}},
                         maximum_object_size = 2000000)
        ) TO '{output}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1,
                         PARTITION_BY (account, region, date))"""
    )


def chdb_structure():
    text = "Nullable(String)"
    issuer = SESSION_ISSUER.format(t=text)
    identity = (
        f"Tuple(type {text}, principalId {text}, arn {text}, accountId {text}, accessKeyId {text},"
        f" userName {text}, invokedBy {text}, identityProvider {text},"
        f" sessionContext Tuple(attributes Tuple(creationDate {text}, mfaAuthenticated {text}),"
        f" sessionIssuer Tuple({issuer}), webIdFederationData Tuple(federatedProvider {text},"
        f" attributes {text}), sourceIdentity {text}, ec2RoleDelivery {text}))"
    )
    tls = f"Tuple(tlsVersion {text}, cipherSuite {text}, clientProvidedHostHeader {text}, keyExchange {text})"
    columns = [f"{name} {text}" for name in TEXTS + OBJECTS]
    columns += [f"{name} Nullable(Bool)" for name in FLAGS]
    columns += [
        "eventTime DateTime('UTC')",
        f"userIdentity {identity}",
        f"tlsDetails {tls}",
        f"resources Array(Tuple(ARN {text}, accountId {text}, type {text}))",
    ]
    return ", ".join(columns)


def by_chdb(source, output):
    from chdb import session

    database = session.Session()
    database.query(
        f"""INSERT INTO FUNCTION file('{output}/{{_partition_id}}/data.parquet', 'Parquet')
        PARTITION BY concat('account=', assumeNotNull(recipientAccountId), '/region=',
                            assumeNotNull(awsRegion), '/date=', toString(toDate(eventTime)))
        SELECT * FROM file('{source}', 'JSONEachRow', '{chdb_structure().replace("'", "''")}')
        SETTINGS max_threads = 2, input_format_json_read_objects_as_strings = 1,
          input_format_skip_unknown_fields = 1, input_format_null_as_default = 1,
          input_format_json_ignore_unknown_keys_in_named_tuple = 1,
          date_time_input_format = 'best_effort', output_format_parquet_compression_method = 'zstd',
          max_partitions_per_insert_block = 0, engine_file_truncate_on_insert = 1"""
    )


if __name__ == "__main__":
    peer, source, output = sys.argv[1:]
    os.makedirs(output, exist_ok=True)
    {"duckdb": by_duckdb, "chdb": by_chdb}[peer](os.path.abspath(source), os.path.abspath(output))
