//! What inputs cost: a client, an image or an engine may send what it likes, so no work may grow faster than its input.
//!
//! Tests compare the CPU time of each case with that of four times the input, `benches/hostile.rs` does so with larger
//! inputs.

use std::sync::{Arc, LazyLock};

use super::bodies::shape_of;
use crate::api::objects::{ObjectAnswer, ObjectKind};
use crate::api::operation;
use crate::filter::{Plan, Report, looks_like_credential};
use crate::policy::{Decision, Policy};
use crate::profile::Profiles;
use crate::proxy::{BodyPassing, body_going_up};
use crate::route::find;
use crate::schema::Catalogue;
use crate::stream::chunks::BodyDecoder;
use crate::stream::elements::ArraySplitter;
use crate::stream::records::{Marks, RecordSplitter};
use crate::stream::requests::RequestFraming;
use crate::visibility::{ObjectView, Surroundings, read_container_summary, read_object, read_task};
use crate::yaml::parse;

/// Work on one input, which may be done again and again.
pub type Work = Box<dyn FnMut()>;

/// One kind of hostile input.
pub struct CostCase {
    /// What it is.
    pub name: &'static str,
    /// A size for which the work takes about a millisecond, in units of its own: bytes, members, chunks.
    pub size: usize,
    /// Prepares the work on an input of a size.
    pub prepare: fn(usize) -> Work,
}

/// Hostile input of all kinds.
pub const CASES: &[CostCase] = &[
    // Documents.
    case("document/labels", 4_000, |size| document("ContainerInspect", labels(size, |at| format!("label{at}")))),
    case("document/labels alike", 4_000, |size| document("ContainerInspect", labels(size, alike))),
    case("document/unknown members", 4_000, |size| document("ContainerInspect", members(size, alike))),
    case("document/folded names", 4_000, |size| {
        document("ContainerInspect", members(size, |at| format!("cONFIG{at}")))
    }),
    case("document/variables", 8_000, |size| {
        document("ContainerInspect", format!(r#"{{"Config":{{"Env":["A=1"{}]}}}}"#, r#","B=2""#.repeat(size)))
    }),
    case("document/arguments", 4_000, |size| {
        document("ContainerInspect", format!(r#"{{"Path":"a","Args":["a"{}]}}"#, r#","--password","b""#.repeat(size)))
    }),
    case("document/nested arrays", 400, |size| document("ContainerInspect", nested(size))),
    case("document/escapes", 40_000, |size| label_text("ContainerInspect", &r"\u0041".repeat(size))),
    case("document/escaped keys", 8_000, |size| {
        document("ContainerInspect", labels(size, |at| format!(r"\u0061{at}\n")))
    }),
    case("document/long number", 1_000_000, |size| {
        document("ContainerInspect", format!(r#"{{"SizeRw":1{}}}"#, "0".repeat(size)))
    }),
    case("document/long text", 200_000, |size| label_text("ContainerInspect", &"x".repeat(size))),
    case("document/white space", 1_000_000, |size| document("ContainerInspect", format!("{{{}}}", " ".repeat(size)))),
    case("document/hashed", 100_000, |size| {
        let document = labels(1, |_| r"\\".repeat(size));
        filtered(plan_of(&[("hash", "$.Config")]), document)
    }),
    // Lists and records in any chunks.
    case("list/one element, byte by byte", 40_000, |size| list(&element(size), 1)),
    case("list/elements, byte by byte", 400, |size| list(&vec![element(64); size].join(","), 1)),
    case("list/elements, whole", 4_000, |size| list(&vec![element(64); size].join(","), usize::MAX)),
    case("list/brackets in a text, byte by byte", 40_000, |size| {
        list(&format!(r#"{{"Id":"{}"}}"#, "]},".repeat(size)), 1)
    }),
    case("records/one, byte by byte", 100_000, |size| records(&element(size), 1)),
    case("records/many, byte by byte", 2_000, |size| records(&element(64).repeat(size), 1)),
    case("chunks/of one byte", 100_000, |size| chunks(size)),
    // Events.
    case("event/labels", 2_000, |size| event(size, |at| format!("label{at}"))),
    case("event/labels alike", 2_000, |size| event(size, alike)),
    case("event/long action", 200_000, |size| {
        record(format!(r#"{{"Type":"container","Action":"exec_create: {}"}}"#, ": ".repeat(size)))
    }),
    // Rules.
    case("rule/search() of labels", 2_000, |size| {
        filtered(plan_of(&[("redact", "$.Config.Labels[?search(@, 'a.*b.*c|x{20}')]")]), labels(size, alike))
    }),
    case("rule/match() of a long text", 100_000, |size| {
        filtered(plan_of(&[("redact", "$.Config.Labels[?match(@, '(a|b|ab)*c')]")]), labels(1, |_| "ab".repeat(size)))
    }),
    case("rule/members of a large object", 4_000, |size| {
        filtered(plan_of(&[("redact", "$.Config[?@.a.b == 1 || @.c || match(@.d, 'e')]")]), labels(size, alike))
    }),
    case("rule/comparisons of labels", 4_000, |size| {
        filtered(
            plan_of(&[("redact", "$.Config.Labels[?@ == 'a\"b' || @ < 'b' || length(@) == 0]")]),
            labels(size, alike),
        )
    }),
    case("rule/escaped keys and texts", 4_000, |size| {
        let labels = labels(size, |at| format!(r"\u0061{at}\n"));
        filtered(
            plan_of(&[("redact", "$.Config[?@.a == 1]"), ("redact", "$.Config.Labels[?search(@, 'x.x')]")]),
            labels,
        )
    }),
    case("rule/equal arrays", 20_000, |size| {
        let elements = vec!["[]"; size].join(",");
        filtered(
            plan_of(&[("redact", "$[?@.a == @.b && @.c]")]),
            format!(r#"{{"x":{{"a":[{elements}],"b":[{elements}]}}}}"#),
        )
    }),
    case("rule/descendants", 200, |size| filtered(plan_of(&[("redact", "$..[?@.a == 1]")]), nested(size))),
    case("rule/the last of every array", 400, |size| filtered(plan_of(&[("redact", "$..[-1]")]), nested(size))),
    case("rule/the document for each label", 4_000, |size| {
        filtered(plan_of(&[("redact", "$.Config.Labels[?@ == $.Id]")]), labels(size, alike))
    }),
    // What may be a credential.
    case("credential/letters", 20_000, |size| credential("a", size)),
    case("credential/dashes", 20_000, |size| credential("-", size)),
    case("credential/spaces", 20_000, |size| credential(" ", size)),
    case("credential/dollars", 20_000, |size| credential("$", size)),
    case("credential/colons", 20_000, |size| credential("a:", size)),
    case("credential/at signs", 20_000, |size| credential("a@", size)),
    case("credential/names", 20_000, |size| credential("password ", size)),
    case("credential/names and values", 20_000, |size| credential("password=a ", size)),
    case("credential/names in one", 20_000, |size| credential("secret_token-", size)),
    case("credential/quotes", 20_000, |size| credential(r#"token":""#, size)),
    case("credential/escaped quotes", 20_000, |size| credential(r#"\"token\":\""#, size)),
    case("credential/flags", 20_000, |size| credential("--password ", size)),
    case("credential/addresses", 20_000, |size| credential("https://", size)),
    case("credential/addresses with users", 20_000, |size| credential("amqp://a:b", size)),
    case("credential/queries", 20_000, |size| credential("?sig=&key=", size)),
    case("credential/hashes", 20_000, |size| credential("$2y$", size)),
    case("credential/keys in PEM", 20_000, |size| credential("-----BEGIN A-----", size)),
    case("credential/beginnings of PEM", 20_000, |size| credential("-----BEGIN A", size)),
    case("credential/web tokens", 20_000, |size| credential("eyJhbGci.eyJ", size)),
    case("credential/bearers", 20_000, |size| credential("Bearer Basic ", size)),
    case("credential/prefixes", 20_000, |size| credential("ghp_AKIAxoxb-glpat-sk_live_", size)),
    case("credential/base64", 20_000, |size| credential("QUJD+/==", size)),
    case("credential/digits", 20_000, |size| credential("0123456789abcdef", size)),
    // Requests.
    case("request/head, byte by byte", 20_000, |size| requests(&request(&format!("A: {}\r\n", "a".repeat(size))), 1)),
    case("request/many", 1_000, |size| requests(&request("").repeat(size), usize::MAX)),
    case("request/chunked body", 20_000, |size| {
        let body = format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(size));
        requests(&format!("POST /x HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n{body}"), usize::MAX)
    }),
    case("target/parameters", 200, |size| target(format!("/containers/json?{}", "&".repeat(size)))),
    case("target/repeated parameters", 200, |size| target(format!("/images/get?{}", "names=a&".repeat(size)))),
    case("target/parameters beside repeated ones", 500, |size| {
        target(format!("/images/get?{}{}", "names=a&".repeat(size), "platform=a&".repeat(size)))
    }),
    case("target/escapes", 500, |size| target(format!("/containers/{}/json", "%41".repeat(size)))),
    case("target/segments", 1_000, |size| target(format!("/images/{}x/json", "a/".repeat(size)))),
    case("target/filter values", 150, |size| {
        target(format!("/containers/json?filters={{%22status%22:[%22a%22{}]}}", ",%22a%22".repeat(size)))
    }),
    // Bodies that name objects.
    case("body/deep array", 20_000, |size| body("ContainerCreate", at_env(&deep_array(size)))),
    case("body/deep array at the top", 20_000, |size| {
        body("ContainerCreate", format!(r#"{{"New":{}}}"#, deep_array(size)))
    }),
    case("body/deep array of mounts", 20_000, |size| body("ServiceUpdate", at_mounts(&deep_array(size)))),
    case("body/deep object", 10_000, |size| body("ContainerCreate", at_env(&deep_object(size)))),
    case("body/deep object at the top", 10_000, |size| {
        body("ContainerCreate", format!(r#"{{"New":{}}}"#, deep_object(size)))
    }),
    case("body/deep host part", 20_000, |size| {
        body("ContainerCreate", format!(r#"{{"HostConfig":{{"Devices":{}}}}}"#, deep_array(size)))
    }),
    case("body/unknown members", 2_000, |size| body("ContainerCreate", members(size, alike))),
    case("body/unknown members of a mount", 1_000, |size| {
        body("ServiceUpdate", at_mounts(&format!("[{}]", members(size, alike))))
    }),
    case("body/unknown objects in a mount", 500, |size| {
        let inside = vec![r#"{"A":{"B":[1]}}"#; size].join(",");
        body(
            "ServiceUpdate",
            at_mounts(&format!(r#"[{{"Type":"bind","New":[{inside}],"BindOptions":{{"New":[{inside}]}}}}]"#)),
        )
    }),
    case("body/mounts", 500, |size| {
        let mounts: Vec<String> =
            (0..size).map(|at| format!(r#"{{"Type":"bind","Source":"/a","Target":"/{at}","New":1}}"#)).collect();
        body("ServiceUpdate", at_mounts(&format!("[{}]", mounts.join(","))))
    }),
    case("body/elements of an unknown list", 4_000, |size| {
        body("ServiceUpdate", format!(r#"{{"{}":[{}]}}"#, "n".repeat(size), vec!["1"; size].join(",")))
    }),
    case("body/labels", 2_000, |size| body("ContainerCreate", format!(r#"{{"Labels":{}}}"#, members(size, alike)))),
    case("body/variables", 4_000, |size| body("ContainerCreate", at_env(&vec![r#""A=1""#; size].join(",")))),
    case("body/host options", 2_000, |size| {
        body("ContainerCreate", format!(r#"{{"HostConfig":{{"CapAdd":[{}]}}}}"#, vec![r#""ALL""#; size].join(",")))
    }),
    // Edits, into which hidden values are put back.
    case("edit/labels", 500, |size| edit(&format!(r#""Labels":{}"#, members(size, alike)))),
    case("edit/unknown members", 500, |size| edit(&format!(r#""New":{}"#, members(size, alike)))),
    case("edit/deep", 200, |size| edit(&format!(r#""New":{}"#, nested(size).replace("Mounts", "a")))),
    case("edit/too deep", 20_000, |size| edit(&format!(r#""New":{}"#, deep_array(size)))),
    case("edit/variables", 500, |size| {
        let variables: Vec<String> = (0..size).map(|at| format!(r#""A{at}=b""#)).collect();
        edit(&format!(r#""TaskTemplate":{{"ContainerSpec":{{"Env":[{}]}}}}"#, variables.join(",")))
    }),
    case("edit/mounts", 300, |size| {
        let mounts: Vec<String> =
            (0..size).map(|at| format!(r#"{{"Type":"volume","Source":"v","Target":"/{at}"}}"#)).collect();
        edit(&format!(r#""TaskTemplate":{{"ContainerSpec":{{"Mounts":[{}]}}}}"#, mounts.join(",")))
    }),
    // Objects, of which a client sees some.
    case("object/labels", 2_000, |size| object(labels(size, alike))),
    case("object/deep", 20_000, |size| object(format!(r#"{{"Id":"c","New":{}}}"#, deep_array(size)))),
    case("object/deep labels", 20_000, |size| object(format!(r#"{{"Id":"c","Labels":{}}}"#, deep_object(size)))),
    case("object/networks", 1_000, |size| {
        object(format!(r#"{{"Id":"c","NetworkSettings":{{"Networks":{}}}}}"#, members(size, alike)))
    }),
    case("object/mounts", 1_000, |size| {
        object(format!(r#"{{"Id":"c","Mounts":[{}]}}"#, vec![r#"{"Type":"volume","Name":"v"}"#; size].join(",")))
    }),
    // Files of operators, which may be made by programs.
    case("yaml/members", 1_000, |size| yaml((0..size).map(|at| format!("member{at}: 1\n")).collect())),
    case("yaml/elements", 2_000, |size| yaml("- a\n".repeat(size))),
    case("yaml/comments", 4_000, |size| yaml(format!("{}a: 1\n", "# comment\n".repeat(size)))),
    case("yaml/long text", 50_000, |size| yaml(format!("a: \"{}\"\n", r"\x41".repeat(size)))),
    case("yaml/block text", 2_000, |size| yaml(format!("a: |\n{}", "  line\n".repeat(size)))),
    case("yaml/flow elements", 2_000, |size| yaml(format!("[a{}]", ", a".repeat(size)))),
    case("profile/rules", 40, |size| {
        profile(
            (0..size)
                .map(|at| format!("  - {{on: ContainerInspect, blank: \"$.Config.Labels['l{at}']\"}}\n"))
                .collect(),
        )
    }),
];

const fn case(name: &'static str, size: usize, prepare: fn(usize) -> Work) -> CostCase {
    CostCase { name, size, prepare }
}

/// A profile that shows some and hides some, and masks what it shows.
const PROFILE: &str = "profile: p\nallow: [ContainerInspect, ContainerList, ImageList, SystemEvents]\nevents: filtered\nshow: \
                       [identity, state, topology, command, free-text]\n";

static CATALOGUE: LazyLock<Option<Catalogue>> = LazyLock::new(|| crate::api::catalogue::built_in().ok());

static POLICY: LazyLock<Option<Policy>> = LazyLock::new(|| {
    let catalogue = CATALOGUE.as_ref()?;
    let profiles = Profiles::parse(&[("p.yaml", PROFILE)], catalogue).ok()?;
    Policy::compile(profiles.get("p")?, catalogue).ok()
});

fn policy() -> &'static Policy {
    let Some(policy) = POLICY.as_ref() else { panic!("the profile has no errors") };
    policy
}

/// Names that have the same length, beginning and end.
fn alike(at: usize) -> String {
    format!("com.example.{at:08}.label.of.an.image")
}

/// A container with so many labels.
fn labels(size: usize, name: impl Fn(usize) -> String) -> String {
    format!(r#"{{"Id":"c","Config":{{"Labels":{}}}}}"#, members(size, name))
}

/// An object with so many members.
fn members(size: usize, name: impl Fn(usize) -> String) -> String {
    let members: Vec<String> = (0..size).map(|at| format!(r#""{}":"{}""#, name(at), name(at))).collect();
    format!("{{{}}}", members.join(","))
}

/// A container with a label that has this value, as JSON writes it.
fn label_text(id: &str, value: &str) -> Work {
    document(id, format!(r#"{{"Config":{{"Labels":{{"a":"{value}"}}}}}}"#))
}

/// Arrays that nest as deep as is allowed, so many beside each other.
fn nested(size: usize) -> String {
    let one = format!("{}{}", "[".repeat(100), "]".repeat(100));
    format!(r#"{{"Mounts":[{}]}}"#, vec![one; size].join(","))
}

/// An element of a list, of about so many bytes.
fn element(size: usize) -> String {
    format!(r#"{{"Id":"c","Labels":{{"a":"{}"}}}}"#, "x".repeat(size))
}

/// Filters a document of an operation.
fn document(id: &str, text: String) -> Work {
    match policy().decide_operation(id) {
        Decision::Filter(plan) => filtered(plan, text),
        Decision::Deny(_) | Decision::Relay(_) | Decision::Records(_) => panic!("{id} is filtered"),
    }
}

fn filtered(plan: Arc<Plan>, text: String) -> Work {
    let mut out = Vec::with_capacity(text.len());
    Box::new(move || {
        out.clear();
        assert!(plan.apply(text.as_bytes(), &mut out).is_ok(), "a hostile document is still one");
    })
}

/// A plan of rules alone.
fn plan_of(rules: &[(&str, &str)]) -> Arc<Plan> {
    Arc::new(super::plan::plan_of_rules(rules))
}

/// Filters a list that arrives in chunks.
fn list(elements: &str, size: usize) -> Work {
    let text = format!("[{elements}]");
    let Decision::Filter(plan) = policy().decide_operation("ContainerList") else { panic!("lists are filtered") };
    Box::new(move || {
        let (mut splitter, mut out, mut report) = (ArraySplitter::new(usize::MAX), Vec::new(), Report::default());
        let mut apply = |bytes: &[u8], out: &mut Vec<u8>| plan.apply_next(bytes, out, &mut report);
        for chunk in text.as_bytes().chunks(size) {
            assert!(splitter.push(chunk, &mut out, &mut apply).is_ok(), "a list");
        }
        assert!(splitter.finish(&mut out, &mut apply).is_ok(), "a whole list");
    })
}

/// Separates records that arrive in chunks.
fn records(text: &str, size: usize) -> Work {
    let text = text.to_owned();
    Box::new(move || {
        let mut splitter = RecordSplitter::new(Marks::Forbidden, usize::MAX);
        for chunk in text.as_bytes().chunks(size) {
            assert!(splitter.push(chunk, |_| Ok::<_, ()>(())).is_ok(), "records");
        }
    })
}

/// Decodes a chunked body that arrives byte by byte.
fn chunks(size: usize) -> Work {
    let text = format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(size));
    Box::new(move || {
        let mut decoder = BodyDecoder::chunked();
        for mut bytes in text.as_bytes().chunks(1) {
            while let Ok(Some(_)) = decoder.data(&mut bytes) {}
        }
        assert!(decoder.has_ended(), "a whole body");
    })
}

/// Filters an event of a container with so many labels.
fn event(size: usize, name: impl Fn(usize) -> String) -> Work {
    record(format!(
        r#"{{"Type":"container","Action":"start","Actor":{{"ID":"c","Attributes":{}}}}}"#,
        members(size, name)
    ))
}

/// Filters an event.
fn record(text: String) -> Work {
    let Decision::Records(filter) = policy().decide_operation("SystemEvents") else { panic!("events are filtered") };
    Box::new(move || {
        assert!(
            filter.apply(text.as_bytes(), &mut Vec::new(), &mut Report::default()).is_ok(),
            "a hostile event is one"
        );
    })
}

/// Looks for credentials in a text that repeats a part.
fn credential(part: &str, size: usize) -> Work {
    let text = part.repeat(size / part.len());
    Box::new(move || _ = looks_like_credential("label", &text))
}

/// A request with more header fields.
fn request(fields: &str) -> String {
    format!("GET /_ping HTTP/1.1\r\nHost: d\r\n{fields}\r\n")
}

/// Separates requests that arrive in chunks.
fn requests(text: &str, size: usize) -> Work {
    let text = text.to_owned();
    Box::new(move || {
        let (mut framing, mut passed, mut arrived) = (RequestFraming::new(usize::MAX), 0, 0);
        while arrived < text.len() {
            arrived = arrived.saturating_add(size).min(text.len());
            while passed < arrived {
                let waiting = text.as_bytes().get(passed..arrived).unwrap_or_default();
                match framing.pass(waiting) {
                    Ok(0) => break,
                    Ok(count) => passed += count,
                    Err(error) => panic!("a request: {error}"),
                }
            }
        }
        assert_eq!(passed, text.len(), "every request passes");
    })
}

/// Finds the operation of a target, and decides about it. Targets are short, so it does so often.
fn target(target: String) -> Work {
    Box::new(move || {
        for _ in 0..20 {
            let Ok(Some(route)) = find("GET", &target) else { panic!("a target") };
            let _ = policy().decide(&route);
        }
    })
}

fn deep_array(size: usize) -> String {
    format!("{}{}", "[".repeat(size), "]".repeat(size))
}

fn deep_object(size: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(size), "}".repeat(size))
}

/// A body with these elements in the list of variables.
fn at_env(elements: &str) -> String {
    format!(r#"{{"Env":[{elements}]}}"#)
}

/// A service with these mounts.
fn at_mounts(mounts: &str) -> String {
    format!(r#"{{"TaskTemplate":{{"ContainerSpec":{{"Mounts":{mounts}}}}}}}"#)
}

/// Reads a body in all ways: nothing passes that reaches the host or is not known, or what an edited object has, or everything.
fn body(id: &'static str, text: String) -> Work {
    Box::new(move || {
        let Some(shape) = shape_of(id) else { panic!("{id} has a body") };
        for passing in [BodyPassing::Nothing, BodyPassing::Shown(&text), BodyPassing::Everything] {
            let _ = body_going_up(shape, text.as_bytes(), passing);
        }
    })
}

/// Puts what is hidden of a service back into what a client has sent: all of it, or half of it.
fn edit(members: &str) -> Work {
    static EDITS: LazyLock<Option<Policy>> = LazyLock::new(|| {
        let text =
            "profile: p\nallow: [ServiceInspect, ServiceUpdate]\nshow: [identity, state, topology]\nedits: restore\n";
        let profiles = Profiles::parse(&[("p.yaml", text)], CATALOGUE.as_ref()?).ok()?;
        Policy::compile(profiles.get("p")?, CATALOGUE.as_ref()?).ok()
    });
    let (policy, update) = (EDITS.as_ref(), operation("ServiceUpdate"));
    let lens = policy.zip(update).and_then(|(policy, update)| policy.edit(update)).map(|edit| edit.lens.clone());
    let Some(lens) = lens else { panic!("a service is edited") };
    let own = |spec: &str| format!(r#"{{"ID":"a","Version":{{"Index":1}},"Spec":{spec}}}"#);
    let (empty, whole) = (r#"{"Name":"a"}"#.to_owned(), format!(r#"{{"Name":"a",{members}}}"#));
    Box::new(move || {
        for (known, sent) in [(&whole, &whole), (&empty, &whole), (&whole, &empty)] {
            let _ = lens.put(own(known).as_bytes(), sent.as_bytes());
        }
    })
}

/// Reads what visibility depends on, and filters the document as one of each kind of answer.
fn object(text: String) -> Work {
    const ANSWERS: [ObjectAnswer; 6] = [
        ObjectAnswer::Container,
        ObjectAnswer::Image,
        ObjectAnswer::Network,
        ObjectAnswer::Task,
        ObjectAnswer::Usage,
        ObjectAnswer::Info,
    ];
    Box::new(move || {
        let document = text.as_bytes();
        for kind in ObjectKind::ALL {
            let _ = read_object(kind, document);
        }
        let _ = (read_container_summary(document), read_task(document));
        for answer in ANSWERS {
            let view = ObjectView::new(Arc::default(), answer, Surroundings::default(), None);
            let _ = (view.unknown_references(document), view.document(document));
        }
    })
}

/// Reads a file.
fn yaml(text: String) -> Work {
    Box::new(move || assert!(parse("f.yaml", &text).is_ok(), "a file"))
}

/// Reads and compiles a profile with rules.
fn profile(rules: String) -> Work {
    let text = format!("{PROFILE}rules:\n{rules}");
    Box::new(move || {
        let Some(catalogue) = CATALOGUE.as_ref() else { panic!("the catalogue has no errors") };
        let profiles = Profiles::parse(&[("p.yaml", &text)], catalogue);
        let Some(profile) = profiles.as_ref().ok().and_then(|profiles| profiles.get("p")) else {
            panic!("a profile: {profiles:?}")
        };
        assert!(Policy::compile(profile, catalogue).is_ok(), "a policy");
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time_limit::cpu_time;

    /// How much larger the larger input is.
    const FACTOR: usize = 4;
    /// How much more it may cost. Linear work costs as much more as the input is larger, quadratic work the square.
    const BOUND: f64 = 9.0;

    /// The least of three measurements.
    fn measured(work: &mut Work) -> Duration {
        let once = |work: &mut Work| {
            let start = cpu_time();
            work();
            cpu_time() - start
        };
        (0..3).map(|_| once(work)).min().unwrap()
    }

    fn ratio(case: &CostCase, size: usize) -> f64 {
        let small = measured(&mut (case.prepare)(size));
        let large = measured(&mut (case.prepare)(size * FACTOR));
        large.as_secs_f64() / small.as_secs_f64()
    }

    /// The least of a few ratios: what else the machine does can only add to one.
    #[track_caller]
    fn check(kind: &str) {
        let cases: Vec<&CostCase> = CASES.iter().filter(|case| case.name.starts_with(kind)).collect();
        assert!(!cases.is_empty());
        for case in cases {
            let least = (0..4).map(|_| ratio(case, case.size)).find(|ratio| *ratio < BOUND);
            assert!(least.is_some(), "{}: {FACTOR} times the input costs over {BOUND} times as much", case.name);
        }
    }

    #[test]
    fn documents_cost_as_much_as_they_are_long() {
        check("document/");
    }

    #[test]
    fn lists_and_streams_cost_as_much_as_they_are_long_in_any_chunks() {
        check("list/");
        check("records/");
        check("chunks/");
    }

    #[test]
    fn events_cost_as_much_as_they_are_long() {
        check("event/");
    }

    #[test]
    fn rules_with_expressions_cost_as_much_as_the_document_is_long() {
        check("rule/");
    }

    #[test]
    fn texts_that_look_like_credentials_cost_as_much_as_they_are_long() {
        check("credential/");
    }

    #[test]
    fn requests_cost_as_much_as_they_are_long() {
        check("request/");
        check("target/");
    }

    #[test]
    fn bodies_cost_as_much_as_they_are_long() {
        check("body/");
    }

    #[test]
    fn edits_cost_as_much_as_they_are_long() {
        check("edit/");
    }

    #[test]
    fn objects_cost_as_much_as_they_are_long() {
        check("object/");
    }

    #[test]
    fn files_cost_as_much_as_they_are_long() {
        check("yaml/");
        check("profile/");
    }

    #[test]
    fn every_case_is_checked() {
        let kinds: std::collections::BTreeSet<&str> =
            CASES.iter().filter_map(|case| case.name.split('/').next()).collect();
        let checked = [
            "body",
            "chunks",
            "credential",
            "document",
            "edit",
            "event",
            "list",
            "object",
            "profile",
            "records",
            "request",
            "rule",
            "target",
            "yaml",
        ];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), checked);
    }

    #[test]
    fn the_measure_tells_the_square_from_the_line() {
        let line = case("line", 200_000, |size| {
            Box::new(move || _ = (0..size).fold(0, |sum, at| std::hint::black_box(sum ^ at)))
        });
        let square = case("square", 400, |size| {
            Box::new(move || _ = (0..size * size).fold(0, |sum, at| std::hint::black_box(sum ^ at)))
        });
        assert!((0..4).any(|_| ratio(&line, line.size) < BOUND));
        assert!((0..4).all(|_| ratio(&square, square.size) >= BOUND));
    }
}
