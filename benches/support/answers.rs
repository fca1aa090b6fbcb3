//! Answers of an engine, as bytes.

/// The start of every answer of an engine.
const HEAD: &str = concat!(
    "HTTP/1.1 200 OK\r\nApi-Version: 1.51\r\nBuilder-Version: 2\r\nDocker-Experimental: false\r\nOstype: linux\r\n",
    "Server: Docker/28.5.2 (linux)\r\nDate: Mon, 23 Nov 2026 22:49:43 GMT\r\n"
);
/// The version document.
const VERSION: &str = concat!(
    r#"{"Platform":{"Name":""},"Components":[{"Name":"Engine","Version":"28.5.2","Details":{"ApiVersion":"1.51","#,
    r#""MinAPIVersion":"1.24","Os":"linux"}}],"Version":"28.5.2","ApiVersion":"1.51","MinAPIVersion":"1.24","#,
    r#""GitCommit":"3ef3c07","GoVersion":"go1.27.1","Os":"linux","Arch":"amd64","KernelVersion":"6.18.44","#,
    r#""BuildTime":"2026-09-15T11:02:57.000000000+00:00"}"#,
    "\n"
);

/// The answer to a ping.
pub(crate) fn ping() -> Vec<u8> {
    format!("{HEAD}Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK").into_bytes()
}

/// The version document as an answer.
pub(crate) fn version() -> Vec<u8> {
    let head = format!("{HEAD}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", VERSION.len());
    format!("{head}{VERSION}").into_bytes()
}

/// The path without its version.
pub(crate) fn unversioned(path: &str) -> &str {
    match path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|slash| rest.split_at(slash))) {
        Some((_, rest)) => rest,
        None => path,
    }
}

/// The head of a chunked answer.
pub(crate) fn chunked_head(content_type: &str) -> String {
    format!("{HEAD}Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// A whole chunked JSON answer.
pub(crate) fn chunked(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = chunked_head("application/json").into_bytes();
    for part in parts {
        out.extend(chunk(part));
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// One chunk.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
