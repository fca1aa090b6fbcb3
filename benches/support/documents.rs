//! The bodies that the engine serves: a container of a real engine with invented names and secrets. It has every label that
//! `dashboard` shows, 29, with values as Compose, Swarm, images and dashboards write them, and others that it hides.

/// One element of a list, with placeholders.
const SUMMARY: &str = include_str!("container_summary.json");
/// One inspected container, with placeholders.
const INSPECT: &str = include_str!("container_inspect.json");

/// Shape: array of `count` containers, each with its own id and name. 100 of them are 371 kB.
pub(crate) fn list(count: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(count * (SUMMARY.len() + 128) + 2);
    out.push(b'[');
    for number in 0..count {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(filled(SUMMARY, number).as_bytes());
    }
    out.extend_from_slice(b"]\n");
    out
}

/// Shape: object.
pub(crate) fn inspect() -> Vec<u8> {
    inspect_of(1)
}

/// The inspected container with this number. Shape: object.
pub(crate) fn inspect_of(number: usize) -> Vec<u8> {
    filled(INSPECT, number).into_bytes()
}

/// The element of a list for the container with this number. Shape: object.
pub(crate) fn summary(number: usize) -> Vec<u8> {
    filled(SUMMARY, number).into_bytes()
}

/// An event on a line of its own; `nanos` is the time at which it is sent.
pub(crate) fn event(nanos: u128) -> String {
    let seconds = nanos / 1_000_000_000;
    format!(
        concat!(
            r#"{{"status":"start","id":"{id}","from":"registry.example.test/demo/web:1.27","Type":"container","#,
            r#""Action":"start","Actor":{{"ID":"{id}","Attributes":{{"com.docker.compose.project":"demo","#,
            r#""com.docker.compose.service":"web","image":"registry.example.test/demo/web:1.27","name":"web"}}}},"#,
            r#""scope":"local","time":{seconds},"timeNano":{nanos}}}"#,
            "\n"
        ),
        id = id(1),
        seconds = seconds,
        nanos = nanos,
    )
}

/// `template` as the container with this number.
fn filled(template: &str, number: usize) -> String {
    template.trim_end().replace("@ID@", &id(number)).replace("@NUMBER@", &format!("{number:05}"))
}

/// The name of a container.
pub(crate) fn name(number: usize) -> String {
    format!("web-{number:05}")
}

/// An id as long as the engine's.
pub(crate) fn id(number: usize) -> String {
    format!("{:016x}{:048x}", 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1), number)
}
