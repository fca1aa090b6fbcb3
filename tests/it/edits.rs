//! Edits through the filter: what goes up for a client that has read a part of an object and sends it back.

use dockveil::command::{explain_request, summary};
use dockveil::config::ConfiguredApi;
use dockveil::policy::Policy;
use dockveil::profile::Profiles;
use serde_json::{Value, json};

use crate::harness::{Test, tests};
use crate::support::built_in::catalogue;
use crate::support::client::{get, status};
use crate::support::daemon::{Reply, json as reply, with_status};
use crate::support::proxy::{Bench, config, policy_of};

pub(crate) const TESTS: &[Test] = tests![
    hidden_values_go_up_again_and_changes_with_them,
    what_fills_a_hidden_place_does_not_go_up,
    a_new_template_does_not_go_up,
    where_output_and_files_go_stays,
    a_new_question_about_nodes_does_not_go_up,
    credentials_for_a_registry_go_to_no_other,
    a_body_with_two_readings_does_not_go_up,
    an_edit_of_another_version_is_refused_by_the_engine,
    an_edit_goes_up_for_the_object_that_was_read,
    without_the_object_nothing_goes_up,
    every_object_of_a_swarm_can_be_edited,
    what_the_profile_may_set_goes_up,
    a_profile_with_errors_in_its_edits_is_refused,
    the_summary_says_what_an_edit_can_do,
    explain_says_that_a_write_is_an_edit,
];

const PROFILE: &str = "profile: test
allow: [ServiceInspect, ServiceUpdate, NodeUpdate, SwarmUpdate, SecretUpdate, ConfigUpdate, VolumeUpdate]
show: [topology, host, identity, state]
edits: restore
";

/// The same, with labels and variables that a client may set.
const SETTING: &str = "profile: test
allow: [ServiceInspect, ServiceUpdate, NodeUpdate]
show: [topology, host, identity, state]
edits:
  set:
    ServiceUpdate: [\"$.Labels\", \"$.TaskTemplate.ContainerSpec.Env\"]
    NodeUpdate: [\"$.Labels.*\"]
";

const ID: &str = "0123456789abcdefghijklmno";

fn spec() -> Value {
    json!({
        "Name": "shop",
        "Labels": {"owner": "canary-label"},
        "TaskTemplate": {"ContainerSpec": {"Image": "shop:1", "Args": ["canary-arg"], "Env": ["A=canary-env"]}},
        "Mode": {"Replicated": {"Replicas": 1}},
    })
}

fn object(spec: &Value) -> String {
    json!({"ID": ID, "Version": {"Index": 7}, "Spec": spec}).to_string()
}

/// An engine that has the object of that specification, and takes edits of its version. Its errors quote what is hidden.
fn engine(request: &str, spec: &Value) -> Reply {
    let line = request.lines().next().unwrap();
    let (method, target) = line.split_once(' ').unwrap();
    let is_missing = target.contains("missing");
    match method {
        "GET" if is_missing => with_status("404 Not Found", r#"{"message":"service canary-missing not found"}"#),
        "GET" => reply(&object(spec)),
        _ if !target.contains("version=7 ") && !target.contains("version=7&") => with_status(
            "500 Internal Server Error",
            r#"{"message":"rpc error: code = Unknown desc = update out of sequence"}"#,
        ),
        _ => reply("{}"),
    }
}

fn bench(profile: &str, spec: Value) -> Bench {
    let policy = policy_of(profile);
    Bench::with(move |request| engine(request, &spec), move |config| config.listeners[0].policy = policy.clone())
}

/// What a client with this body is answered.
fn ask(bench: &Bench, target: &str, body: &str) -> String {
    bench.ask(format!(
        "POST {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The first lines of what went up, and the last body.
fn up(bench: &Bench) -> (Vec<String>, String) {
    let requests = bench.daemon.requests();
    let line = |request: &String| request.lines().next().unwrap().replace(" HTTP/1.1", "");
    let body = requests.last().and_then(|request| request.split_once("\r\n\r\n")).map_or("", |(_, body)| body);
    (requests.iter().map(line).collect(), body.to_owned())
}

fn shown() -> Value {
    json!({
        "Name": "shop",
        "TaskTemplate": {"ContainerSpec": {"Image": "shop:1"}},
        "Mode": {"Replicated": {"Replicas": 1}},
    })
}

fn hidden_values_go_up_again_and_changes_with_them() {
    let bench = bench(PROFILE, spec());
    let mut edited = shown();
    edited["Mode"]["Replicated"]["Replicas"] = json!(5);
    let target = "/v1.44/services/shop/update?version=7&registryAuthFrom=previous-spec&rollback=previous";
    assert_eq!(status(&ask(&bench, target, &edited.to_string())), 200);
    let (lines, body) = up(&bench);
    let write = format!("POST /v1.44/services/{ID}/update?version=7&registryAuthFrom=previous-spec&rollback=previous");
    assert_eq!(lines, ["GET /v1.44/services/shop".to_owned(), write]);
    let mut expected = spec();
    expected["Mode"]["Replicated"]["Replicas"] = json!(5);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    // As it was shown, it is the engine's own.
    assert_eq!(status(&ask(&bench, "/services/shop/update?version=7", &shown().to_string())), 200);
    assert_eq!(up(&bench).1, spec().to_string());
}

fn what_fills_a_hidden_place_does_not_go_up() {
    let bench = bench(PROFILE, spec());
    let path = "$.TaskTemplate.ContainerSpec.Env[0]";
    let opens = r#"edits: {set: {ServiceUpdate: ["$.TaskTemplate.ContainerSpec.Env[*]"]}}"#;
    for value in ["A=canary-env", "A=x", "B="] {
        let mut edited = shown();
        edited["TaskTemplate"]["ContainerSpec"]["Env"] = json!([value]);
        let refused = ask(&bench, "/services/shop/update?version=7", &edited.to_string());
        assert_eq!(status(&refused), 403, "{refused}");
        let message = format!(
            "denied by policy: the profile test hides {path} in the body of ServiceUpdate, and the request sets it ({opens} \
             opens it)"
        );
        assert!(refused.contains(&json!({ "message": message }).to_string()), "{refused}");
    }
    assert!(up(&bench).0.iter().all(|line| line.starts_with("GET ")), "{:?}", up(&bench));
}

/// A node of the swarm fills in what is hidden, where the client sees it.
fn a_new_template_does_not_go_up() {
    const OWN: &str = "{{.Node.Hostname}}-{{.Task.Slot}}";
    let (mut spec, mut shown) = (spec(), shown());
    for document in [&mut spec, &mut shown] {
        document["TaskTemplate"]["ContainerSpec"]["Hostname"] = json!(OWN);
    }
    for profile in [PROFILE, SETTING] {
        let bench = bench(profile, spec.clone());
        for (member, value) in
            [("Hostname", json!("{{index .Service.Labels \"owner\"}}")), ("Hostname", json!(format!("{OWN}-")))]
        {
            let mut edited = shown.clone();
            edited["TaskTemplate"]["ContainerSpec"][member] = value;
            let refused = ask(&bench, "/services/shop/update?version=7", &edited.to_string());
            assert_eq!(status(&refused), 403, "{refused}");
            assert!(refused.contains("is a template, which could show what is hidden"), "{refused}");
        }
        assert!(up(&bench).0.iter().all(|line| line.starts_with("GET ")), "{:?}", up(&bench));
        let mut edited = shown.clone();
        edited["Mode"]["Replicated"]["Replicas"] = json!(5);
        assert_eq!(status(&ask(&bench, "/services/shop/update?version=7", &edited.to_string())), 200);
        assert!(up(&bench).1.contains(OWN), "{}", up(&bench).1);
    }
}

/// A log driver sends variables, labels and all output along.
fn where_output_and_files_go_stays() {
    const OPTIONS: &str = "profile: test\nallow: [ServiceInspect, ServiceUpdate]\nshow: [topology, host, identity, state]\noptions: [\"*\"]\nrules: [{on: ContainerSpec, keep: \"$.Mounts[*].Target\"}]\n";
    let (restore, set) = ("edits: restore\n", "edits: {set: {ServiceUpdate: [\"$.TaskTemplate.LogDriver\"]}}\n");
    let mut spec = spec();
    spec["TaskTemplate"]["LogDriver"] = json!({"Name": "gelf", "Options": {"gelf-address": "udp://127.0.0.1:1"}});
    let options = json!({"Name": "local", "Options": {"type": "nfs", "o": "addr=10.0.0.1"}});
    let mount =
        json!({"Type": "volume", "Source": "data", "Target": "/data", "VolumeOptions": {"DriverConfig": options}});
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"] = json!([mount]);
    type Change = (&'static str, serde_json::Value);
    let driver: [Change; 3] = [
        ("/TaskTemplate/LogDriver/Options/gelf-address", json!("udp://127.0.0.1:2")),
        ("/TaskTemplate/LogDriver/Options", json!({"gelf-address": "udp://127.0.0.1:1", "env-regex": ".*"})),
        ("/TaskTemplate/LogDriver/Options", json!({"gelf-address": "udp://127.0.0.1:1", "tag": "shop"})),
    ];
    let volume: [Change; 2] = [
        ("/TaskTemplate/ContainerSpec/Mounts/0/VolumeOptions/DriverConfig/Options/o", json!("addr=10.0.0.2")),
        (
            "/TaskTemplate/ContainerSpec/Mounts/0/VolumeOptions/DriverConfig/Options",
            json!({"type": "nfs", "o": "addr=10.0.0.1", "device": ":/a"}),
        ),
    ];
    let kept = [("/TaskTemplate/LogDriver/Options", json!({"gelf-address": "udp://127.0.0.1:1"}))];
    for (edits, changes, expected) in [
        (restore, &driver[..], 403),
        (restore, &volume, 403),
        (restore, &kept, 200),
        (set, &driver, 200),
        (set, &volume, 403),
    ] {
        for (place, value) in changes {
            let bench = bench(&format!("{OPTIONS}{edits}"), spec.clone());
            let answer = bench.ask(get("/services/shop"));
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let mut edited = serde_json::from_str::<Value>(body).unwrap()["Spec"].take();
            *edited.pointer_mut(place).unwrap() = value.clone();
            let answer = ask(&bench, "/services/shop/update?version=7", &edited.to_string());
            assert_eq!(status(&answer), expected, "{edits} {place}: {answer}");
            let said = answer.contains("can send what is hidden to somebody");
            assert_eq!(said, expected == 403, "{answer}");
        }
    }
    // Not even who may set it has variables and arguments filled in.
    for edits in [restore, set] {
        let bench = bench(&format!("{OPTIONS}{edits}"), spec.clone());
        let options = json!({"LogDriver": {"Options": {"tag": "{{index .ContainerEnv 0}}"}}});
        let refused = ask(&bench, "/services/shop/update?version=7", &json!({"TaskTemplate": options}).to_string());
        assert_eq!(status(&refused), 403, "{refused}");
        assert!(refused.contains("is a template"), "{refused}");
    }
}

/// Where the tasks run, or whether they do, would tell.
fn a_new_question_about_nodes_does_not_go_up() {
    const SHOW: &str =
        "profile: test\nallow: [ServiceInspect, ServiceUpdate]\nshow: [topology, free-text, host, identity, state]\n";
    let placement = json!({"Constraints": ["node.role==worker"]});
    let of = |placement: &Value| {
        let mut spec = spec();
        spec["TaskTemplate"]["Placement"] = placement.clone();
        spec
    };
    let (restore, set) = ("edits: restore\n", "edits: {set: {ServiceUpdate: [\"$.TaskTemplate.Placement\"]}}\n");
    // Nodes as they are, but not services.
    let nodes = "profile: test\nallow: [ServiceInspect, ServiceUpdate, NodeInspect]\nshow: all\nrules: [{on: Service, remove: \"$.Spec.Labels\"}]\n";
    let nodes = format!("{nodes}{restore}");
    for (profile, is_open) in [(format!("{SHOW}{restore}"), false), (format!("{SHOW}{set}"), true), (nodes, true)] {
        for (change, is_question) in [
            (json!({"Constraints": ["node.role==worker", "node.ip==10.0.0.0/9"]}), true),
            (json!({"Constraints": ["node.ip==10.0.0.0/9"]}), true),
            (json!({"Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.other"}}]}), true),
            (json!({"Constraints": []}), false),
            (json!({"MaxReplicas": 2}), false),
        ] {
            let bench = bench(&profile, of(&placement));
            let answer = bench.ask(get("/services/shop"));
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let mut edited = serde_json::from_str::<Value>(body).unwrap()["Spec"].take();
            for (name, value) in change.as_object().unwrap() {
                edited["TaskTemplate"]["Placement"][name] = value.clone();
            }
            let answer = ask(&bench, "/services/shop/update?version=7", &edited.to_string());
            let expected = if is_question && !is_open { 403 } else { 200 };
            assert_eq!(status(&answer), expected, "{profile} {change}: {answer}");
            assert_eq!(answer.contains("asks for what is hidden of others"), expected == 403, "{answer}");
        }
    }
}

fn a_body_with_two_readings_does_not_go_up() {
    let bench = bench(PROFILE, spec());
    for (body, expected) in [
        ("", 400),
        ("{", 400),
        ("[]", 400),
        ("null", 400),
        ("{}{}", 400),
        (r#"{"Name":"shop","Name":"other"}"#, 400),
        (r#"{"Name":"shop","N\u0061me":"other"}"#, 400),
        (r#"{"Name":"shop","name":"other"}"#, 400),
        (r#"{"name":"shop"}"#, 400),
        (r#"{"labels":{}}"#, 400),
        (r#"{"Mode":"canary-body"}"#, 400),
        (r#"{"Name":"shop","New":{"canary-body":"canary-body"}}"#, 403),
        (r#"{"Name":"shop [redacted]"}"#, 403),
        ("{\"Name\":\"\u{FEFF}\"}\u{FEFF}", 400),
        ("\u{FEFF}{}", 400),
    ] {
        let answer = ask(&bench, "/services/shop/update?version=7", body);
        assert_eq!(status(&answer), expected, "{body}: {answer}");
        assert!(!answer.contains("canary"), "{answer}");
    }
    // Too long, and of no length that is known before.
    let long = format!(r#"{{"Name":"{}"}}"#, "x".repeat(4 << 20));
    assert_eq!(status(&ask(&bench, "/services/shop/update?version=7", &long)), 413);
    assert!(up(&bench).0.iter().all(|line| line.starts_with("GET ")), "{:?}", up(&bench).0);
    let chunked = "POST /services/shop/update?version=7 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n3\r\n{\"N\r\nb\r\name\":\"new\"}\r\n0\r\n\r\n";
    assert_eq!(status(&bench.ask(chunked)), 200);
    // What was shown of the rest is removed, and with it what was not.
    assert_eq!(up(&bench).1, r#"{"Labels":{"owner":"canary-label"},"Name":"new"}"#);
}

/// Whatever the client sends then, only the engine's own object goes up, with a version that the engine cannot have.
fn an_edit_of_another_version_is_refused_by_the_engine() {
    let filling =
        json!({"Name": "canary-body", "TaskTemplate": {"ContainerSpec": {"Env": ["canary-body"]}}}).to_string();
    for (query, sent) in [
        ("version=6", "?version=6"),
        ("version=8", "?version=0"),
        ("version=18446744073709551615", "?version=0"),
        ("version=18446744073709551616", "?version=18446744073709551616"),
        ("version=%2b7", "?version=%2B7"),
        ("version=7x", "?version=7x"),
        ("version=", "?version="),
        ("", ""),
        ("version=6&version=7", "?version=6"),
    ] {
        let bench = bench(PROFILE, spec());
        for body in [filling.as_str(), "{", ""] {
            let answer = ask(&bench, &format!("/v1.44/services/shop/update?{query}"), body);
            assert_eq!(status(&answer), 500, "{query}: {answer}");
            let (lines, up) = up(&bench);
            assert_eq!(lines.last().unwrap(), &format!("POST /v1.44/services/{ID}/update{sent}"), "{query}");
            assert_eq!(up, spec().to_string(), "{query}");
        }
    }
}

/// Another object could get the name in between.
fn an_edit_goes_up_for_the_object_that_was_read() {
    let bench = bench(PROFILE, spec());
    for name in ["shop", "0123", ID] {
        let body = shown().to_string();
        assert_eq!(status(&ask(&bench, &format!("/v1.44/services/{name}/update?version=7"), &body)), 200);
        let (lines, _) = up(&bench);
        assert_eq!(lines.last().unwrap(), &format!("POST /v1.44/services/{ID}/update?version=7"));
    }
}

fn without_the_object_nothing_goes_up() {
    let bench = bench(PROFILE, spec());
    let answer = ask(&bench, "/services/missing/update?version=7", &shown().to_string());
    assert_eq!(status(&answer), 404, "{answer}");
    assert!(!answer.contains("canary"), "{answer}");
    for broken in [json!("text"), Value::Null, json!({"Name": {"a": 1}})] {
        let bench = Bench::with(
            move |request| if request.starts_with("GET") { reply(&object(&broken)) } else { reply("{}") },
            |config| config.listeners[0].policy = policy_of(PROFILE),
        );
        let answer = ask(&bench, "/services/shop/update?version=7", &shown().to_string());
        assert!([200, 400, 502].contains(&status(&answer)) && !answer.contains("canary"), "{answer}");
    }
    assert!(up(&bench).0.iter().all(|line| line.starts_with("GET ")));
}

fn every_object_of_a_swarm_can_be_edited() {
    let hidden = json!({"owner": "canary-label"});
    for (target, read, spec, edited) in [
        (
            "/nodes/n/update",
            "/nodes/n",
            json!({"Labels": hidden, "Role": "manager"}),
            json!({"Labels": {}, "Role": "worker"}),
        ),
        (
            "/swarm/update",
            "/swarm",
            json!({"Labels": hidden, "Raft": {"ElectionTick": 10}}),
            json!({"Labels": {}, "Raft": {"ElectionTick": 9}}),
        ),
        ("/secrets/s/update", "/secrets/s", json!({"Name": "a", "Labels": hidden}), json!({"Name": "b"})),
        (
            "/configs/c/update",
            "/configs/c",
            json!({"Name": "a", "Labels": hidden, "Data": "canary"}),
            json!({"Name": "b", "Data": null}),
        ),
    ] {
        let bench = bench(PROFILE, spec.clone());
        let answer = ask(&bench, &format!("{target}?version=7"), &edited.to_string());
        assert_eq!(status(&answer), 200, "{target}: {answer}");
        let (lines, body) = up(&bench);
        assert_eq!(lines.first().unwrap(), &format!("GET /v1.51{read}"), "{target}");
        let mut expected = spec;
        for name in ["Role", "Raft", "Name"].into_iter().filter(|name| edited.get(name).is_some()) {
            expected[name] = edited[name].clone();
        }
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected, "{target}");
    }
    // The body of this one is not what was read, so it stays denied.
    let bench = bench(PROFILE, spec());
    let put = "PUT /volumes/v?version=7 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let answer = bench.ask(put);
    assert!(status(&answer) == 403 && answer.contains("show: all opens it"), "{answer}");
    assert_eq!(up(&bench).0, Vec::<String>::new());
}

fn what_the_profile_may_set_goes_up() {
    let bench = bench(SETTING, spec());
    let mut edited = shown();
    edited["Labels"] = json!({"tier": "front"});
    edited["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["B=1", "A=2"]);
    assert_eq!(status(&ask(&bench, "/services/shop/update?version=7", &edited.to_string())), 200);
    let mut expected = spec();
    expected["Labels"] = json!({"owner": "canary-label", "tier": "front"});
    expected["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["B=1", "A=2"]);
    assert_eq!(serde_json::from_str::<Value>(&up(&bench).1).unwrap(), expected);
    edited["TaskTemplate"]["ContainerSpec"]["Args"] = json!(["x"]);
    let answer = ask(&bench, "/services/shop/update?version=7", &edited.to_string());
    assert!(status(&answer) == 403 && answer.contains("$.TaskTemplate.ContainerSpec.Args[0]"), "{answer}");
}

fn a_profile_with_errors_in_its_edits_is_refused() {
    for (edits, expected) in [
        ("restored", "p.yaml:2:8: found \"restored\", expected `restore`, `refuse`, or a mapping with the key `set`"),
        ("[restore]", "p.yaml:2:8: found a list, expected `edits`"),
        ("{sets: {}}", "p.yaml:2:9: unknown key \"sets\", did you mean \"set\"?"),
        (
            "{set: {ServiceUpdat: []}}",
            "p.yaml:2:15: unknown operation \"ServiceUpdat\", did you mean \"ServiceUpdate\"?",
        ),
        (
            "{set: {VolumeUpdate: []}}",
            "p.yaml:2:15: VolumeUpdate is no edit: no client sends back what it has read, expected one such as ServiceUpdate",
        ),
        (
            "{set: {NodeUpdate: [\"$.Label\"]}}",
            "p.yaml:2:28: found \"$.Label\", which leads to no known field of the body of NodeUpdate",
        ),
        (
            "{set: {NodeUpdate: [\"$.Spec.Labels\"]}}",
            "p.yaml:2:28: found \"$.Spec.Labels\", which leads to no known field of the body of NodeUpdate",
        ),
        ("{set: {NodeUpdate: [Labels]}}", "p.yaml:2:28: bad path: expected `$` at character 1"),
    ] {
        let text = format!("profile: p\nedits: {edits}\n");
        let error = Profiles::parse(&[("p.yaml", &text)], catalogue()).unwrap_err().to_string();
        assert!(error.contains(expected), "{edits}: {error}");
    }
    // A profile that extends another may take it back.
    let files = [
        ("a.yaml", "profile: a\nallow: [NodeUpdate]\nedits: {set: {NodeUpdate: [\"$.Labels\"]}}\n"),
        ("b.yaml", "profile: b\nextends: a\n"),
        ("c.yaml", "profile: c\nextends: a\nedits: refuse\n"),
        ("d.yaml", "profile: d\nextends: a\nedits: restore\n"),
    ];
    let profiles = Profiles::parse(&files, catalogue()).unwrap();
    let edits = |name: &str| {
        let profile = profiles.get(name).unwrap();
        let policy = Policy::compile(profile, catalogue()).unwrap();
        (policy.editing().count(), policy.erasing().count(), profile.edits.set.len())
    };
    assert_eq!(["a", "b", "c", "d"].map(edits), [(1, 0, 1), (1, 0, 1), (0, 1, 0), (1, 0, 0)]);
}

/// Without line breaks, which depend on the width.
fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn the_summary_says_what_an_edit_can_do() {
    let said = |profile: &str| {
        let mut config = config("/engine".as_ref(), "/listener".as_ref());
        config.listeners[0].policy = policy_of(profile);
        joined(&summary(&config))
    };
    let warning = "warning: no secrecy against a client that may change the image or the command of a service: it can run a \
                   command that prints what is hidden";
    let text = said(PROFILE);
    let edits = "edits: ConfigUpdate, NodeUpdate, SecretUpdate, ServiceUpdate, SwarmUpdate: hidden values are put back into what \
                 clients send back";
    assert!(text.contains(warning) && text.contains(edits), "{text}");
    assert!(text.contains("denied although allowed: VolumeUpdate:"), "{text}");
    let text = said(SETTING);
    let fields = "hidden fields that ServiceUpdate may set: $.Labels, $.TaskTemplate.ContainerSpec.Env";
    assert!(text.contains(fields) && text.contains("hidden fields that NodeUpdate may set: $.Labels.*"), "{text}");
    // Without services, and where nothing is hidden, there is nothing to say.
    let nodes = PROFILE.replace("ServiceUpdate, ", "");
    assert!(said(&nodes).contains("edits: ConfigUpdate") && !said(&nodes).contains("no secrecy"), "{}", said(&nodes));
    let all = PROFILE.replace("[topology, host, identity, state]", "all");
    assert!(!said(&all).contains("edits:") && !said(&all).contains("no secrecy"), "{}", said(&all));
    let refused = PROFILE.replace("edits: restore", "edits: refuse");
    assert!(!said(&refused).contains("no secrecy") && said(&refused).contains("`edits: restore` puts these back"));
}

fn explain_says_that_a_write_is_an_edit() {
    let explained = |profile: &str, request: &str| {
        let mut out = Vec::new();
        explain_request(request, &policy_of(profile), catalogue(), &ConfiguredApi::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let line = "edit      the hidden values of the object, which ServiceInspect returns, are put back into the body";
    let text = explained(PROFILE, "POST /services/shop/update?version=7");
    assert!(text.contains(line) && text.contains("          by test.yaml:4:8 (`edits`)"), "{text}");
    let text = explained(SETTING, "POST /services/shop/update?version=7");
    assert!(text.contains("          may set $.Labels, by test.yaml:6:21"), "{text}");
    let text = explained(&PROFILE.replace("restore", "refuse"), "POST /services/shop/update?version=7");
    assert!(!text.contains("edit      ") && text.contains("(edits: restore opens it)"), "{text}");
    let text = explained(PROFILE, "GET /services/shop");
    assert!(!text.contains("edit      "), "{text}");
}

/// The engine keeps credentials with a service, and sends them to the registry of its image.
fn credentials_for_a_registry_go_to_no_other() {
    let with_image = |image: &str| {
        let mut spec = spec();
        spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(image);
        spec
    };
    let rows = [
        ("shop:1", "shop:2", None, None),
        ("shop:1", "docker.io/shop:2", None, None),
        ("registry.test/shop:1", "registry.test/shop:2@sha256:00", None, None),
        ("registry.test/shop:1", "127.0.0.1:5000/shop:1", None, Some("e30=")),
        ("registry.test/shop:1", "registry.test:444/shop:1", None, Some("e30=")),
        ("registry.test/shop:1", "shop:1", None, Some("e30=")),
        ("shop:1", "registry.test/shop:1", Some("bWluZQ=="), Some("bWluZQ==")),
        // An engine takes an empty field for none.
        ("shop:1", "registry.test/shop:1", Some(""), Some("e30=")),
        ("shop:1", "registry.test/shop:1", Some(" \t"), Some("e30=")),
        // A capital letter makes a registry, too.
        ("shop:1", "REGISTRY/shop:1", None, Some("e30=")),
        ("docker.io/team/shop:1", "Team/shop:1", None, Some("e30=")),
        ("shop:1", "team/shop:1", None, None),
    ];
    // Also of a service that is shown whole, among which the client sees only some.
    const SOME: &str = "profile: test\nallow: all\nshow: all\nservices: {only: [{label: owner}]}\n";
    for (profile, (before, after, sent, expected)) in rows.iter().flat_map(|row| [(PROFILE, *row), (SOME, *row)]) {
        let bench = bench(profile, with_image(before));
        let mut edited = if profile == PROFILE { shown() } else { spec() };
        edited["TaskTemplate"]["ContainerSpec"]["Image"] = json!(after);
        let body = edited.to_string();
        let field = sent.map(|value| format!("X-Registry-Auth: {value}\r\n")).unwrap_or_default();
        let answer = bench.ask(format!(
            "POST /services/shop/update?version=7 HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n{field}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(status(&answer), 200, "{answer}");
        let write = bench.daemon.requests().pop().unwrap();
        let found = write.lines().find_map(|line| line.strip_prefix("x-registry-auth: "));
        assert_eq!(found, expected, "{before} {after}: {write}");
    }
    // Those of the specification before.
    let bench = bench(PROFILE, with_image("registry.test/shop:1"));
    let body = with_image("registry.test/shop:1");
    assert_eq!(
        status(&ask(
            &bench,
            "/services/shop/update?version=7&registryAuthFrom=previous-spec",
            &shown_of(&body).to_string()
        )),
        200
    );
    assert!(bench.daemon.requests().pop().unwrap().contains("x-registry-auth: e30="));
}

/// What is shown of a specification.
fn shown_of(spec: &Value) -> Value {
    let mut shown = shown();
    shown["TaskTemplate"]["ContainerSpec"]["Image"] = spec["TaskTemplate"]["ContainerSpec"]["Image"].clone();
    shown
}
