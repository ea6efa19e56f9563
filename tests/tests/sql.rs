//! SQL as it is published runs as it is, answers as another engine does, and only
//! reads; what it may use is bounded.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tests::oracle::{Demo, shared_data};
use tests::programs::{orgtrail, workspace};
use tests::python::{Python, run};

const BEGIN: &str = "<!-- queries: kept by a test -->\n";
const END: &str = "<!-- end of queries -->";

fn ask(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(orgtrail().expect("the program"));
    command.arg("query").arg("--store").arg(store).args(arguments);
    command.output().expect("ran")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `UPDATE_DOCS=1` writes the table instead of comparing it.
#[test]
fn published_queries_run_and_agree_with_duckdb() {
    let Some(data) = shared_data("published queries") else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let packs = data.join("sql");
    let mut make = Python::oracle().expect("python").script("published.py");
    run(make.arg("data").arg(&packs).arg(data.join("events")).arg(dir.path())).expect("events");
    let demo = Demo::run(&["--from", &dir.path().to_string_lossy()]).expect("the demo ends well");
    let mut check = Python::oracle().expect("python").script("published.py");
    check.arg("check").arg(&packs).arg(orgtrail().expect("the program")).arg(&demo.store);
    let table = run(&mut check).expect("every query runs and agrees");

    let path = workspace().join("docs/sql.md");
    let text = fs::read_to_string(&path).expect("docs/sql.md");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (known, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("written");
        return;
    }
    assert_eq!(known, table, "docs/sql.md is not what is true (UPDATE_DOCS=1 writes it)");
}

#[test]
fn saved_questions_run_and_mostly_find_something() {
    let Some(data) = shared_data("saved questions") else { return };
    let from = data.join("events");
    let demo = Demo::run(&["--from", &from.to_string_lossy()]).expect("the demo ends well");
    let list = run(Command::new(orgtrail().expect("the program")).args(["query", "--list"]));
    let list = list.expect("listed");
    let names: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.len() >= 30, "{} saved questions", names.len());
    let needed = [
        ("key-activity", "key=AKIATFQCPQRMRXZNHBYE"),
        ("address-activity", "address=AWS Internal"),
        ("principal-activity", "principal=bert-jan"),
        ("resource-activity", "resource=invictus"),
    ];
    let mut found = 0;
    for name in &names {
        let mut arguments = vec![*name, "-o", "ndjson"];
        let parameters: Vec<&str> =
            needed.iter().filter(|(of, _)| of == name).map(|(_, value)| *value).collect();
        let head =
            list.split_once(&format!("{name} ")).or_else(|| list.split_once(&format!("{name}\n")));
        let since = head.is_some_and(|(_, rest)| {
            rest.lines()
                .skip(1)
                .take_while(|line| line.starts_with(' '))
                .any(|line| line.contains("since="))
        });
        for parameter in parameters.into_iter().chain(since.then_some("since=2000-01-01")) {
            arguments.extend(["--param", parameter]);
        }
        let answer = ask(&demo.store, &arguments);
        assert!(answer.status.success(), "{name}: {}", said(&answer));
        found += usize::from(!answer.stdout.is_empty());
    }
    assert!(
        found >= 30,
        "only {found} of {} saved questions find anything in real events",
        names.len()
    );
}

#[test]
fn a_parameter_is_a_value_and_never_sql() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("store")).expect("a directory");
    let hostile = "key=' OR 1=1; DROP TABLE events --";
    let answer = ask(&dir.path().join("store"), &["key-activity", "--param", hostile]);
    assert!(answer.status.success(), "{}", said(&answer));
    assert!(answer.stdout.is_empty());
    let answer = ask(&dir.path().join("store"), &["key-activity"]);
    assert_eq!(answer.status.code(), Some(2));
    assert!(said(&answer).contains("--param key="), "{}", said(&answer));
}

#[test]
fn a_query_only_reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let (store, out) = (dir.path().join("store"), dir.path().join("out"));
    fs::create_dir(&store).expect("a directory");
    let copy = format!("COPY (SELECT 1) TO '{}'", out.display());
    for sql in [
        copy.as_str(),
        "CREATE TABLE t AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION '/etc'",
        "CREATE VIEW v AS SELECT 1",
        "INSERT INTO events SELECT * FROM events",
        "DELETE FROM events",
        "UPDATE events SET eventname = ''",
        "DROP TABLE events",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
        "SELECT 1; DROP TABLE events",
        "WITH t AS (SELECT 1) INSERT INTO events SELECT * FROM t",
        "SELECT * INTO t FROM events",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM \"/etc/passwd\"",
        "PREPARE p AS SELECT 1",
    ] {
        let answer = ask(&store, &[sql]);
        assert_eq!(answer.status.code(), Some(2), "{sql}: {}", said(&answer));
        assert!(answer.stdout.is_empty(), "{sql}");
    }
    assert!(!out.try_exists().expect("asked"));
}

/// Expected values are those that Trino's documentation gives, or that follow from it.
#[test]
fn functions_mean_what_they_mean_in_trino() {
    let dir = tempfile::tempdir().expect("a directory");
    let cases = [
        (r#"json_extract('{"a":{"b":[1,"x"]}}', '$.a.b[1]')"#, r#""x""#),
        (r#"json_extract_scalar('{"a":{"b":[1,"x"]}}', '$.a.b[1]')"#, "x"),
        (r#"json_extract_scalar('{"odd key":true}', '$["odd key"]')"#, "true"),
        (r#"coalesce(json_extract_scalar('{"a":{}}', '$.a'), 'none')"#, "none"),
        (r#"coalesce(json_extract_scalar('no json', '$.a'), 'none')"#, "none"),
        (r#"json_array_get('[1, 2, 3]', -1)"#, "3"),
        (r#"CAST(json_array_length('[1, [2, 3]]') AS VARCHAR)"#, "2"),
        (r#"CAST(json_extract('{"a":"x"}', '$.a') AS VARCHAR)"#, "x"),
        (r#"array_join(CAST(json_extract('{"a":["x",2]}', '$.a') AS ARRAY(VARCHAR)), '+')"#, "x+2"),
        (
            r#"element_at(CAST(json_parse('{"k":{"v":1}}') AS MAP(VARCHAR, JSON)), 'k')"#,
            r#"{"v":1}"#,
        ),
        (r#"element_at(ARRAY['a', 'b'], -1)"#, "b"),
        (
            r#"to_iso8601(from_iso8601_timestamp('2026-11-20T01:02:03+01:00'))"#,
            "2026-11-20T00:02:03.000Z",
        ),
        (
            r#"to_iso8601(date_parse('20/11/2026 05:06', '%d/%m/%Y %H:%i'))"#,
            "2026-11-20T05:06:00.000Z",
        ),
        (
            r#"date_format(date_add('month', -1, timestamp '2026-03-31 00:00:00'), '%Y/%m/%d')"#,
            "2026/02/28",
        ),
        (r#"CAST(date_diff('day', date '2026-11-01', date '2026-11-20') AS VARCHAR)"#, "19"),
        (r#"CAST(day_of_week(date '2026-11-22') AS VARCHAR)"#, "7"),
        (r#"regexp_extract('arn:aws:iam::123:user/bob', '::(\d+):', 1)"#, "123"),
        (r#"regexp_replace('a1b22', '(\d)', '<$1>')"#, "a<1>b<2><2>"),
        (r#"CAST(regexp_like('10.1.2.3', '^\d') AS VARCHAR)"#, "true"),
        (r#"if(1 > 2, 'yes', 'no')"#, "no"),
        (r#"replace('a-b', '-')"#, "ab"),
        (r#"CAST(contains(ARRAY['a'], 'a') AS VARCHAR)"#, "true"),
        (r#"array_join(transform(filter(ARRAY[1, 2, 3], x -> x > 1), x -> x * 10), ',')"#, "20,30"),
        (r#"array_join(slice(ARRAY[1, 2, 3, 4], 2, 2), ',')"#, "2,3"),
        (r#"array_join(split('a.b.c', '.'), '-')"#, "a-b-c"),
        (r#"CAST(CAST('9.0.0.1' AS IPADDRESS) < IPADDRESS '10.0.0.0' AS VARCHAR)"#, "true"),
        (r#"CAST(contains('10.0.0.0/8', CAST('10.9.9.9' AS IPADDRESS)) AS VARCHAR)"#, "true"),
        (r#"coalesce(CAST(CAST('AWS Internal' AS IPADDRESS) IS NULL AS VARCHAR), '')"#, "true"),
        (r#"coalesce(CAST(CAST(concat('x', '') AS INTEGER) AS VARCHAR), 'none')"#, "none"),
        (r#"json_value('{"a":"x"}', 'lax $.a')"#, "x"),
        (r#"CAST(json_exists('{"a":null}', 'strict $.a') AS VARCHAR)"#, "true"),
        (r#"array_join(regexp_split('a1b22c', '\d+'), '-')"#, "a-b-c"),
        (r#"CAST(regexp_position('añ1', '\d') AS VARCHAR)"#, "3"),
        (r#"element_at(split_to_map('a=1,b=2', ',', '='), 'b')"#, "2"),
        (r#"url_extract_host('https://a.example:81/c?d=e#f')"#, "a.example"),
        (r#"CAST(url_extract_port('https://a.example:81/c') AS VARCHAR)"#, "81"),
        (r#"url_extract_parameter('https://a.example/c?d=e%20f', 'd')"#, "e f"),
        (r#"url_decode('a%20b+c&d')"#, "a b c&d"),
        (r#"url_encode('a b/*')"#, "a+b%2F*"),
        (r#"to_hex(md5(to_utf8('a')))"#, "0CC175B9C0F1B6A831C399E269772661"),
        (
            r#"lower(to_hex(sha256(to_utf8('a'))))"#,
            "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
        ),
        (r#"from_utf8(from_base64(to_base64(to_utf8('a'))))"#, "a"),
        (r#"CAST(mod(7, 3) AS VARCHAR)"#, "1"),
        (r#"CAST(last_day_of_month(date '2026-02-03') AS VARCHAR)"#, "2026-02-28"),
        (r#"CAST(all_match(ARRAY[1, 2], x -> x > 1) AS VARCHAR)"#, "false"),
        (r#"CAST(none_match(ARRAY[1, 2], x -> x > 2) AS VARCHAR)"#, "true"),
        (
            r#"to_iso8601(parse_datetime('2026-11-20 10:00', 'yyyy-MM-dd HH:mm'))"#,
            "2026-11-20T10:00:00.000Z",
        ),
        (
            r#"format_datetime(timestamp '2026-11-20 15:04:05', 'EEE d MMM yy, h:mm a')"#,
            "Fri 20 Nov 26, 3:04 PM",
        ),
        (
            r#"element_at(CAST(json_parse('[{"Port":443,"cidr":"::/0"}]')
                AS ARRAY(ROW(cidr VARCHAR, port INTEGER))), 1).cidr"#,
            "::/0",
        ),
        (r#"CAST(CAST(json_parse('["a",2]') AS ROW(x VARCHAR, y BIGINT)).y AS VARCHAR)"#, "2"),
    ];
    let columns: Vec<String> =
        cases.iter().enumerate().map(|(at, (sql, _))| format!("{sql} AS c{at}")).collect();
    let answer = ask(dir.path(), &["-o", "ndjson", &format!("SELECT {}", columns.join(", "))]);
    assert!(answer.status.success(), "{}", said(&answer));
    let row: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("a row");
    for (at, (sql, expected)) in cases.iter().enumerate() {
        let found = row.get(format!("c{at}")).and_then(serde_json::Value::as_str);
        assert_eq!(found, Some(*expected), "{sql}");
    }
    let aggregates = "SELECT max_by(n, m) AS a, min_by(n, m) AS b, count_if(m > 10) AS c, \
        array_join(array_sort(set_agg(m % 2)), ',') AS d \
        FROM (VALUES ('x', 10), ('y', 30), ('z', 20)) AS t(n, m)";
    let answer = ask(dir.path(), &["-o", "ndjson", aggregates]);
    assert!(answer.status.success(), "{}", said(&answer));
    let row: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("a row");
    assert_eq!(row, serde_json::json!({"a": "y", "b": "x", "c": 2, "d": "0"}));
    let unnested = "SELECT t.k, t.v FROM (SELECT json_map('{\"a\":1,\"b\":2}') AS m) AS x \
        CROSS JOIN UNNEST(m) AS t(k, v) ORDER BY t.k";
    let answer = ask(dir.path(), &["-o", "csv", unnested]);
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "k,v\r\na,1\r\nb,2\r\n",
        "{}",
        said(&answer)
    );
}

/// The answer of a statement that names no table, as JSON.
fn rows(sql: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let answer = ask(dir.path(), &["-o", "json", sql]);
    assert!(answer.status.success(), "{sql}: {}", said(&answer));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&answer.stdout).expect("JSON");
    // What is NULL is left out.
    serde_json::Value::Array(rows).to_string()
}

/// Where DataFusion means something else by the same words, Trino is followed: each of
/// these was answered otherwise, and without an error.
#[test]
fn the_same_words_mean_what_they_mean_in_trino() {
    for (sql, expected) in [
        (
            "TIMESTAMP '2026-11-20 00:00:00' - TIMESTAMP '2026-11-01 00:00:00' < interval '2' day",
            "false",
        ),
        ("interval '1' day < interval '25' hour", "true"),
        ("interval '24' hour = interval '1' day", "true"),
        ("interval '36' hour BETWEEN interval '1' day AND interval '2' day", "true"),
        ("CAST(2 * interval '36' hour = interval '3' day AS VARCHAR)", r#""true""#),
        ("interval '1' hour / 2 = interval '30' minute", "true"),
        ("NULL", "null"),
        ("concat('a', NULL, 'b')", "null"),
        ("concat('a', 'b', 'c')", r#""abc""#),
        ("split_part('a/b', '/', 3)", "null"),
        ("substr('AKIAEXAMPLE', -4)", r#""MPLE""#),
        ("substr('abc', 0)", r#""""#),
        (r"'a_b' LIKE 'a\_b'", "false"),
        (r"'DOMAIN\user' LIKE 'DOMAIN\%'", "true"),
        ("'a_b' LIKE 'a$_b' ESCAPE '$'", "true"),
        ("'axb' LIKE 'a$_b' ESCAPE '$'", "false"),
        ("'100%' LIKE concat('100', '$%') ESCAPE '$'", "true"),
        ("extract(dow FROM DATE '2026-11-22')", "7"),
        ("extract(year_of_week FROM DATE '2027-01-01')", "2026"),
        ("CAST(2.7 AS BIGINT)", "3"),
        ("CAST(-2.5 AS INTEGER)", "-3"),
        ("CAST('abc' AS VARCHAR(2))", r#""ab""#),
        ("to_unixtime(TIMESTAMP '1970-01-01 00:00:01.5')", "1.5"),
        ("from_unixtime(floor(1.5))", r#""1970-01-01T00:00:01Z""#),
        (
            "CAST(from_iso8601_timestamp('2026-11-20T01:02:03Z') AS VARCHAR)",
            r#""2026-11-20 01:02:03.000 UTC""#,
        ),
        ("CAST(date_add('day', -3, DATE '2026-11-20') AS VARCHAR)", r#""2026-11-17""#),
        ("date_add('quarter', 1, DATE '2026-11-20')", r#""2027-02-20""#),
        ("date_trunc('month', DATE '2026-11-20')", r#""2026-11-01""#),
        ("to_iso8601(DATE '2026-11-20')", r#""2026-11-20""#),
        ("greatest(1, NULL)", "null"),
        (
            "parse_datetime('2026-11-20T13:04:05+0200', 'yyyy-MM-dd''T''HH:mm:ssZ')",
            r#""2026-11-20T11:04:05Z""#,
        ),
        (
            "parse_datetime('2026-11-20T13:04:05Z', 'yyyy-MM-dd''T''HH:mm:ssZ')",
            r#""2026-11-20T13:04:05Z""#,
        ),
        ("try(1 / 0)", "null"),
        ("try(date_parse('soon', '%Y'))", "null"),
        (
            "coalesce(try(from_iso8601_timestamp('soon')), TIMESTAMP '2026-01-01 00:00:00') > now()",
            "false",
        ),
        ("reverse(ARRAY[1, 2])", "[2,1]"),
        ("concat(ARRAY[1], ARRAY[2])", "[1,2]"),
        ("array_remove(ARRAY[1, 2, 1], 1)", "[2]"),
        ("array_sort(ARRAY[2, NULL, 1])", "[1,2,null]"),
        ("repeat('x', 2)", r#"["x","x"]"#),
        ("split('a,b,c', ',', 2)", r#"["a","b,c"]"#),
        ("strpos('a/b/c', '/', 2)", "4"),
        ("regexp_like('foobar', 'foo(?!baz)')", "true"),
        (r"regexp_replace('a1', '(\d)', '$1x\$1')", r#""a1x$1""#),
        ("json_format(json_parse('{\"a\": 1}'))", r#""{\"a\":1}""#),
        ("NULL IS DISTINCT FROM true AND false", "false"),
        ("1 IS NOT DISTINCT FROM 1 AND NULL IS DISTINCT FROM 'a' AND 2 > 1", "true"),
        ("json_extract('{\"a\":\"No\"}', '$.a') = 'No'", "true"),
        ("cardinality(ARRAY[1]) - cardinality(ARRAY[1, 2])", "-1"),
        ("cardinality(ARRAY[1, 2, 3]) / 2", "1"),
        ("ARRAY['a', 'b'][cardinality(ARRAY['a', 'b'])]", r#""b""#),
        ("array_position(ARRAY['a'], 'b')", "0"),
        ("concat_ws(', ', ARRAY['a', NULL, 'b'])", r#""a, b""#),
        ("floor(5) / 2 + ceiling(2) + sign(-3)", "3"),
        ("floor(-2.5)", "-3.0"),
        ("CAST(CAST('10.0.0.1' AS IPADDRESS) AS VARCHAR)", r#""10.0.0.1""#),
        ("TIMESTAMP '2026-11-26 23:50'", r#""2026-11-26T23:50:00Z""#),
        (
            "from_iso8601_timestamp('2026-11-26T01:00:00Z') AT TIME ZONE 'America/New_York'
                >= TIMESTAMP '2026-11-26 00:30:00'",
            "true",
        ),
        ("typeof(ARRAY[1])", r#""array""#),
        ("from_utf8(from_base64url(to_base64url(to_utf8('a?'))))", r#""a?""#),
        ("bitwise_and(6, 3) + bitwise_not(0)", "1"),
        ("from_base('ff', 16) + CAST(to_base(5, 2) AS BIGINT)", "356"),
    ] {
        let expected = match expected {
            "null" => "[{}]".to_owned(),
            value => format!(r#"[{{"x":{value}}}]"#),
        };
        assert_eq!(rows(&format!("SELECT {sql} AS x")), expected, "{sql}");
    }
    for (sql, expected) in [
        ("SELECT x FROM (VALUES 1, NULL, 2) AS t(x) ORDER BY x DESC", r#"[{"x":2},{"x":1},{}]"#),
        ("SELECT arbitrary(x) AS x FROM (VALUES NULL, 'a') AS t(x)", r#"[{"x":"a"}]"#),
        ("SELECT max(x, 2) AS x FROM (VALUES 1, NULL, 3, 2) AS t(x)", r#"[{"x":[3,2]}]"#),
        (
            "SELECT x FROM (VALUES 1, 2, 3) AS t(x) WHERE x >= ALL (SELECT x FROM (VALUES 1, 3) AS u(x))",
            r#"[{"x":3}]"#,
        ),
        (
            "SELECT x FROM (VALUES 1, 2) AS t(x) WHERE x > ANY (SELECT x FROM (VALUES 1, 2) AS t(x))",
            r#"[{"x":2}]"#,
        ),
        (
            "SELECT x FROM (VALUES 1, 2) AS t(x) WHERE x <> ALL (SELECT x FROM (VALUES 1) AS t(x))",
            r#"[{"x":2}]"#,
        ),
        (
            "SELECT row_number() OVER (ORDER BY x) - row_number() OVER (ORDER BY x DESC) AS x
                FROM (VALUES 1, 2) AS t(x) ORDER BY 1",
            r#"[{"x":-1},{"x":1}]"#,
        ),
        (
            r#"SELECT CAST(j AS VARCHAR) AS x FROM (SELECT json_extract(t, '$.a') AS j
                FROM (VALUES '{"a":"b"}') AS v(t)) AS w WHERE CAST(j AS VARCHAR) = 'b'"#,
            r#"[{"x":"b"}]"#,
        ),
        (
            r#"SELECT CAST(p AS VARCHAR) AS x
                FROM UNNEST(CAST(json_parse('["0.0.0.0/0"]') AS ARRAY(JSON))) AS p(p)"#,
            r#"[{"x":"0.0.0.0/0"}]"#,
        ),
        ("SELECT x, * FROM (VALUES 1) AS t(x)", r#"[{"x":1,"x_0":1}]"#),
        ("SELECT a, b FROM UNNEST(ARRAY[1], ARRAY['x']) AS t(a, b)", r#"[{"a":1,"b":"x"}]"#),
        (
            "SELECT x, y FROM (VALUES 1) AS t(x), LATERAL (SELECT x + 1 AS y) AS u",
            r#"[{"x":1,"y":2}]"#,
        ),
    ] {
        assert_eq!(rows(sql), expected, "{sql}");
    }
    let wrong = tempfile::tempdir().expect("a directory");
    for (sql, expected) in [
        ("SELECT now() - now() < interval '1' month", "a month is no number of days"),
        ("SELECT 'a' LIKE 'b$c' ESCAPE '$'", "what is escaped is %, _ or what escapes"),
        ("SELECT date_add('hour', 1, DATE '2026-11-20')", "a date has no hour"),
        ("SELECT split_part('a', '/', 0)", "parts are counted from 1"),
        ("SELECT 1 EXCEPT ALL SELECT 1", "write them without ALL"),
        ("SELECT x FROM (VALUES 1) a(x) FULL JOIN (VALUES 2) b(x) USING (x)", "write ON a.x = b.x"),
        ("SELECT CAST('x' AS DATE) LIKE 'a'", "error"),
    ] {
        let answer = ask(wrong.path(), &[sql]);
        assert!(!answer.status.success(), "{sql}");
        let said = said(&answer);
        assert!(said.contains(expected) && said.trim_end().lines().count() == 1, "{sql}: {said}");
    }
}

/// New York is five hours behind in January, and six hours earlier it is yesterday.
#[test]
fn a_time_of_a_zone_has_the_parts_and_the_text_of_that_zone() {
    let dir = tempfile::tempdir().expect("a directory");
    let there = "from_iso8601_timestamp('2026-01-01T03:00:00Z') AT TIME ZONE 'America/New_York'";
    let cases = [
        ("CAST(hour(T) AS VARCHAR)", "22"),
        ("CAST(extract(day FROM T) AS VARCHAR)", "31"),
        ("CAST(day_of_week(T) AS VARCHAR)", "3"),
        ("CAST(date(T) AS VARCHAR)", "2025-12-31"),
        ("CAST(date_add('day', 1, T) - interval '1' day = T AS VARCHAR)", "true"),
        ("date_format(T, '%Y-%m-%d %H:%i')", "2025-12-31 22:00"),
        ("format_datetime(T, 'yyyy-MM-dd HH:mm ZZ')", "2025-12-31 22:00 -05:00"),
        ("to_iso8601(T)", "2025-12-31T22:00:00.000-05:00"),
        ("T", "2025-12-31T22:00:00-05:00"),
        ("date_trunc('day', T)", "2025-12-31T00:00:00-05:00"),
        ("date_add('hour', 3, T)", "2026-01-01T01:00:00-05:00"),
        ("at_timezone(T, '+05:30')", "2026-01-01T08:30:00+05:30"),
        ("to_iso8601(timestamp '2026-01-01 03:00:00' AT TIME ZONE 'Asia/Tokyo')", {
            "2026-01-01T12:00:00.000+09:00"
        }),
        ("with_timezone(timestamp '2026-01-01 03:00:00', 'Asia/Tokyo')", {
            "2026-01-01T03:00:00+09:00"
        }),
        ("from_unixtime(1700000000.5, 'Asia/Tokyo')", "2023-11-15T07:13:20.500+09:00"),
        ("CAST(T AS VARCHAR)", "2025-12-31 22:00:00.000 America/New_York"),
        ("(x) - interval '1' day", "2025-12-30T22:00:00-05:00"),
    ];
    let columns = cases.iter().enumerate().map(|(at, (sql, _))| {
        let sql = sql.replace("T)", "(x))").replace("T,", "(x),").replace("= T ", "= (x) ");
        let sql = sql.replace("(T ", "((x) ");
        let sql = if sql == "T" { "(x)".to_owned() } else { sql };
        format!("{} AS c{at}", sql.replace("(x)", &format!("({there})")))
    });
    let sql = format!("SELECT {}", columns.collect::<Vec<_>>().join(", "));
    let answer = ask(dir.path(), &["-o", "ndjson", &sql]);
    assert!(answer.status.success(), "{}", said(&answer));
    let row: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("a row");
    for (at, (sql, expected)) in cases.iter().enumerate() {
        let found = row.get(format!("c{at}")).and_then(serde_json::Value::as_str);
        assert_eq!(found, Some(*expected), "{sql}");
    }
    let nowhere = ask(dir.path(), &["SELECT at_timezone(now(), 'Europe/Nowhere')"]);
    assert!(said(&nowhere).contains("takes the name of a zone"), "{}", said(&nowhere));
}

#[test]
fn groups_become_maps_and_maps_and_lists_become_rows() {
    let dir = tempfile::tempdir().expect("a directory");
    let table =
        "(VALUES ('a', 1, 'e'), ('a', 2, 'e'), (NULL, 3, 'f'), ('b', 4, NULL)) AS t(x, y, e)";
    let cases = [
        (
            format!("SELECT histogram(e) AS h, map_agg(x, y) AS m, multimap_agg(x, y) AS n FROM {table}"),
            r#"[{"h":{"e":2,"f":1},"m":{"a":1,"b":4},"n":{"a":[1,2],"b":[4]}}]"#,
        ),
        (
            format!("SELECT histogram(e) FILTER (WHERE y > 1) AS h FROM {table}"),
            r#"[{"h":{"e":1,"f":1}}]"#,
        ),
        (
            format!(
                "SELECT k, n FROM (SELECT histogram(x) AS h FROM {table}) \
                 CROSS JOIN UNNEST(h) AS u(k, n) ORDER BY n DESC"
            ),
            r#"[{"k":"a","n":2},{"k":"b","n":1}]"#,
        ),
        (
            "SELECT a, n FROM (SELECT 1) CROSS JOIN UNNEST(ARRAY['x', 'y']) WITH ORDINALITY AS t(a, n)"
                .to_owned(),
            r#"[{"a":"x","n":1},{"a":"y","n":2}]"#,
        ),
        (
            "SELECT id, a, n FROM (VALUES (1, ARRAY['x']), (2, CAST(NULL AS ARRAY(VARCHAR)))) AS v(id, l) \
             LEFT JOIN UNNEST(l) WITH ORDINALITY AS t(a, n) ON TRUE ORDER BY id"
                .to_owned(),
            r#"[{"a":"x","id":1,"n":1},{"id":2}]"#,
        ),
        (
            "SELECT p, c FROM (SELECT 1) CROSS JOIN UNNEST(CAST(json_extract(\
             '{\"items\":[{\"port\":22,\"cidr\":\"0.0.0.0/0\"},{\"port\":\"x\"}]}', '$.items') \
             AS ARRAY(ROW(port INTEGER, cidr VARCHAR)))) AS t(p, c)"
                .to_owned(),
            r#"[{"c":"0.0.0.0/0","p":22},{}]"#,
        ),
        (
            "SELECT listagg(n, ',') WITHIN GROUP (ORDER BY n DESC) AS l FROM (VALUES ('a'), ('b')) AS t(n)"
                .to_owned(),
            r#"[{"l":"b,a"}]"#,
        ),
        (
            "SELECT arbitrary(n), any_value(n), n, n FROM (VALUES ('a'), ('b')) AS t(n) GROUP BY n \
             ORDER BY n FETCH FIRST 1 ROWS ONLY"
                .to_owned(),
            r#"[{"any_value(n)":"a","arbitrary(n)":"a","n":"a","n_3":"a"}]"#,
        ),
    ];
    for (sql, expected) in cases {
        let answer = ask(dir.path(), &["-o", "json", &sql]);
        assert!(answer.status.success(), "{sql}: {}", said(&answer));
        let rows: serde_json::Value = serde_json::from_slice(&answer.stdout).expect("rows");
        let expected: serde_json::Value = serde_json::from_str(expected).expect("rows");
        assert_eq!(rows, expected, "{sql}");
    }
}

#[test]
fn what_a_query_lacks_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let answer = ask(dir.path(), &["SELECT zip_with(a, b), map_filter(c, d) FROM events"]);
    assert_eq!(answer.status.code(), Some(2));
    let said = said(&answer);
    assert!(said.contains("map_filter") && said.contains("zip_with"), "{said}");
}

#[test]
fn what_is_wrong_with_an_argument_is_said_in_one_line() {
    let dir = tempfile::tempdir().expect("a directory");
    for (sql, expected) in [
        ("SELECT contains(ARRAY['a'], 5)", "contains: an array of Utf8 has no Int64"),
        ("SELECT md5('a')", "md5: takes bytes: write to_utf8(…) around the text"),
        ("SELECT url_encode('a', 'b')", "url_encode takes 1 arguments"),
        ("SELECT CAST(ROW(1) AS ROW(x INTEGER))", "write CAST(json_parse(…) AS ROW(…))"),
    ] {
        let answer = ask(dir.path(), &[sql]);
        assert_eq!(answer.status.code(), Some(2), "{sql}");
        let said = said(&answer);
        assert!(said.contains(expected) && said.trim().lines().count() == 1, "{sql}: {said}");
    }
}

#[test]
fn a_query_ends_at_its_time_and_at_once_when_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let endless = "SELECT count(*) FROM generate_series(1, 100000000000) AS t(n) WHERE n % 7 = 1";
    let answer = ask(dir.path(), &["--timeout", "1s", endless]);
    assert_eq!(answer.status.code(), Some(6), "{}", said(&answer));
    assert!(said(&answer).contains("--timeout"), "{}", said(&answer));
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = Command::new(orgtrail().expect("the program"));
        command.arg("query").arg("--store").arg(dir.path()).arg(endless);
        let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("ran");
        std::thread::sleep(Duration::from_secs(2));
        let told = Instant::now();
        run(Command::new("kill").arg(signal).arg(child.id().to_string())).expect("told");
        assert_eq!(child.wait().expect("ended").code(), Some(code));
        assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    }
}

#[test]
fn memory_and_disk_of_a_query_are_bounded() {
    let dir = tempfile::tempdir().expect("a directory");
    let sort = "SELECT max(m) FROM (SELECT n, lag(n) OVER (ORDER BY n % 1000, n) AS m \
        FROM generate_series(1, 5000000) AS t(n))";
    let answer = ask(dir.path(), &["--memory-mib", "32", "--spill-mib", "1", sort]);
    assert_eq!(answer.status.code(), Some(1), "{}", said(&answer));
    assert!(said(&answer).contains("disk space"), "{}", said(&answer));
    let answer = ask(dir.path(), &["--limit", "2", "SELECT * FROM generate_series(1, 5)"]);
    assert!(answer.status.success());
    assert_eq!(String::from_utf8_lossy(&answer.stdout).lines().count(), 2);
    assert!(said(&answer).contains("--limit 0"), "{}", said(&answer));
}

#[test]
fn the_files_in_deploy_are_what_the_program_prints() {
    for (engine, file) in [
        ("duckdb", "duckdb/orgtrail.sql"),
        ("athena", "athena/orgtrail.sql"),
        ("glue", "athena/glue-table.json"),
        ("glue-days", "athena/glue-days.json"),
    ] {
        let mut command = Command::new(orgtrail().expect("the program"));
        command.env_remove("ORGTRAIL_STORE");
        let printed = run(command.args(["schema", "--ddl", engine])).expect("printed");
        let path = workspace().join("deploy").join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(&path, &printed).expect("written");
        }
        assert_eq!(fs::read_to_string(&path).expect(file), printed, "{file}");
    }
}
