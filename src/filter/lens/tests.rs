//! Single edits: what comes of them, and why others are refused. `tests/it/lens_laws.rs` has the laws.

use serde_json::{Value, json};

use super::*;
use crate::api::bodies::is_template;
use crate::api::{ELEMENT_KEYS, catalogue, lists};
use crate::filter::{Rule, Show};
use crate::schema::{Class, ClassSet};

/// What a profile shows that hides variables, commands, labels and paths.
fn show() -> Show {
    let classes: ClassSet = [Class::Identity, Class::State, Class::Topology, Class::Host].into_iter().collect();
    Show { classes, mask: true, ..Show::default() }
}

/// The lens for the specification of a service.
fn lens(show: &Show, rules: &[Rule], settable: &[&str]) -> Lens {
    let catalogue = catalogue::built_in().unwrap();
    let plan = Arc::new(Plan::compile(&catalogue, "Service", show, rules).unwrap().with_hash_key([7; 32]));
    let explained = Plan::explain(&catalogue, "Service", show, rules).unwrap();
    let mut lens = Lens::new(plan, &catalogue, ("Service", &["Spec"]), &explained, ELEMENT_KEYS).unwrap();
    let places: &[&[&str]] =
        &[&["TaskTemplate", "ContainerSpec", "Env"], &["TaskTemplate", "ContainerSpec", "Hostname"]];
    let kinds: &[&[&str]] = &[
        &["TaskTemplate", "ContainerSpec", "Mounts", "Type"],
        &["TaskTemplate", "ContainerSpec", "Mounts", "BindOptions"],
        &["TaskTemplate", "LogDriver", "Name"],
    ];
    let destinations: &[&[&str]] = &[&["TaskTemplate", "LogDriver"]];
    let questions: &[&[&str]] = &[&["TaskTemplate", "Placement"]];
    lens.read_by(ReaderOfEdits { templates: places, is_template, destinations, questions, kinds });
    for path in settable {
        assert!(lens.let_set(&path.parse().unwrap()), "{path}");
    }
    lens
}

/// A document with a specification.
fn document(spec: &Value) -> String {
    json!({"ID": "a", "Spec": spec}).to_string()
}

/// What is shown of a specification.
fn shown(lens: &Lens, spec: &Value) -> Value {
    let mut out = Vec::new();
    lens.plan.apply(document(spec).as_bytes(), &mut out).unwrap();
    serde_json::from_slice::<Value>(&out).unwrap()["Spec"].clone()
}

fn put(lens: &Lens, spec: &Value, edited: &str) -> Result<Value, String> {
    let put = lens.put(document(spec).as_bytes(), edited.as_bytes());
    put.map(|out| serde_json::from_slice(&out).unwrap()).map_err(|error| error.to_string())
}

/// Checks what becomes of a specification, given how a client changes what it is shown.
#[track_caller]
fn check(lens: &Lens, spec: &Value, edit: impl Fn(&mut Value), expected: Result<Value, &str>) {
    let mut edited = shown(lens, spec);
    edit(&mut edited);
    assert_eq!(put(lens, spec, &edited.to_string()), expected.map_err(str::to_owned), "{edited}");
}

/// A specification with something of every sort.
fn spec() -> Value {
    json!({
        "Name": "shop",
        "Labels": {"owner": "hidden", "tier": "front"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "shop:1",
                "Args": ["--key", "hidden"],
                "Env": ["A=hidden", "B=hidden"],
                "Mounts": [
                    {"Type": "bind", "Source": "/hidden/1", "Target": "/one", "ReadOnly": true},
                    {"Type": "bind", "Source": "/hidden/2", "Target": "/two"},
                ],
                "Healthcheck": {"Test": ["CMD", "hidden"], "Interval": 5},
            },
            "ForceUpdate": 0,
        },
        "Mode": {"Replicated": {"Replicas": 1}},
        "EndpointSpec": {"Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080},
            {"Protocol": "tcp", "TargetPort": 81, "PublishedPort": 8081},
        ]},
    })
}

/// `spec` with one value replaced.
fn with(pointer: &str, value: Value) -> Value {
    let mut spec = spec();
    *spec.pointer_mut(pointer).unwrap() = value;
    spec
}

const CONTAINER: &str = "/TaskTemplate/ContainerSpec";

#[test]
fn what_is_shown_is_changed_and_what_is_hidden_stays() {
    let lens = lens(&show(), &[], &[]);
    check(&lens, &spec(), |_| {}, Ok(spec()));
    let expected = Ok(with("/Mode/Replicated/Replicas", json!(7)));
    check(&lens, &spec(), |edited| edited["Mode"]["Replicated"]["Replicas"] = json!(7), expected);
    let expected = Ok(with(&format!("{CONTAINER}/Image"), json!("shop:2")));
    check(
        &lens,
        &spec(),
        |edited| *edited.pointer_mut(&format!("{CONTAINER}/Image")).unwrap() = json!("shop:2"),
        expected,
    );
}

/// Some clients write nil and zero for what they do not have.
#[test]
fn a_hidden_member_that_is_absent_or_empty_is_left_as_it_was() {
    let lens = lens(&show(), &[], &[]);
    for empty in ["null", "[]"] {
        let edited = format!(
            r#"{{"Name":"shop","Labels":{{}},"TaskTemplate":{{"ContainerSpec":{{"Image":"shop:1","Args":{empty},"Env":{empty},
            "Dir":"","Mounts":[{{"Type":"bind","ReadOnly":true}},{{"Type":"bind","Source":""}}],
            "Healthcheck":{{"Interval":5}}}},"ForceUpdate":0}},"Mode":{{"Replicated":{{"Replicas":1}}}},
            "EndpointSpec":{{"Ports":[{{"Protocol":"tcp","TargetPort":80,"PublishedPort":8080}},
            {{"Protocol":"tcp","TargetPort":81,"PublishedPort":8081}}]}}}}"#
        );
        assert_eq!(put(&lens, &spec(), &edited), Ok(spec()), "{edited}");
    }
}

#[test]
fn a_hidden_member_that_is_filled_is_refused_or_set() {
    let closed = lens(&show(), &[], &[]);
    let env = |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["C=1", "A=2"]);
    let args = |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Args"] = json!(["new"]);
    let label = |edited: &mut Value| edited["Labels"] = json!({"more": "1", "tier": "back"});
    check(&closed, &spec(), env, Err("$.TaskTemplate.ContainerSpec.Env[0] is hidden"));
    check(&closed, &spec(), args, Err("$.TaskTemplate.ContainerSpec.Args[0] is hidden"));
    check(&closed, &spec(), label, Err("$.Labels.* is hidden"));
    // Also where there is nothing.
    check(
        &closed,
        &json!({"TaskTemplate": {"ContainerSpec": {}}}),
        env,
        Err("$.TaskTemplate.ContainerSpec.Env[0] is hidden"),
    );

    let open = lens(&show(), &[], &["$.TaskTemplate.ContainerSpec", "$.Labels.*"]);
    // Variables have names, arguments have none.
    check(&open, &spec(), env, Ok(with(&format!("{CONTAINER}/Env"), json!(["B=hidden", "C=1", "A=2"]))));
    check(&open, &spec(), args, Ok(with(&format!("{CONTAINER}/Args"), json!(["new"]))));
    let labels = json!({"owner": "hidden", "tier": "back", "more": "1"});
    check(&open, &spec(), label, Ok(with("/Labels", labels)));
    check(&open, &spec(), |_| {}, Ok(spec()));
}

#[test]
fn entries_in_an_allow_list_come_and_go_and_the_others_stay() {
    let mut listed = show();
    listed.names.extend(lists::LABELS, ["tier"]);
    listed.names.extend(lists::ENV, ["B", "C"]);
    let lens = lens(&listed, &[], &[]);
    check(&lens, &spec(), |_| {}, Ok(spec()));
    check(&lens, &spec(), |edited| edited["Labels"]["tier"] = json!("back"), Ok(with("/Labels/tier", json!("back"))));
    let owner = json!({"owner": "hidden"});
    // A client that has removed the last entry leaves out the map, or writes it empty.
    check(
        &lens,
        &spec(),
        |edited| drop(edited.as_object_mut().unwrap().remove("Labels")),
        Ok(with("/Labels", owner.clone())),
    );
    check(&lens, &spec(), |edited| edited["Labels"] = json!({}), Ok(with("/Labels", owner.clone())));
    check(&lens, &spec(), |edited| edited["Labels"] = Value::Null, Ok(with("/Labels", owner)));
    check(&lens, &spec(), |edited| edited["Labels"]["owner"] = json!("mine"), Err("$.Labels.* is hidden"));
    check(&lens, &spec(), |edited| edited["Labels"]["owner"] = json!(""), Err("$.Labels.* is hidden"));
    // Where none was shown before.
    let hidden = with("/Labels", json!({"owner": "hidden"}));
    check(&lens, &hidden, |edited| edited["Labels"] = json!({"tier": "front"}), Ok(spec()));

    let env = |value: Value| move |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Env"] = value.clone();
    let expected = |value: Value| Ok(with(&format!("{CONTAINER}/Env"), value));
    check(&lens, &spec(), env(json!(["B=2"])), expected(json!(["A=hidden", "B=2"])));
    check(&lens, &spec(), env(json!(["C=3", "B=hidden"])), expected(json!(["A=hidden", "C=3", "B=hidden"])));
    check(&lens, &spec(), env(Value::Null), expected(json!(["A=hidden"])));
    check(&lens, &spec(), env(json!([])), expected(json!(["A=hidden"])));
    check(&lens, &spec(), env(json!(["A=1"])), Err("$.TaskTemplate.ContainerSpec.Env[0] is hidden"));
}

#[test]
fn elements_are_told_apart_by_what_is_shown_of_them() {
    let mut paths = show();
    let mounts = |edit: fn(&mut Vec<Value>)| {
        move |edited: &mut Value| edit(edited["TaskTemplate"]["ContainerSpec"]["Mounts"].as_array_mut().unwrap())
    };
    let closed = lens(&paths, &[], &[]);
    let expected = |edit: fn(&mut Vec<Value>)| {
        let mut expected = spec();
        mounts(edit)(&mut expected);
        Ok(expected)
    };
    check(&closed, &spec(), mounts(|mounts| mounts.reverse()), expected(|mounts| mounts.reverse()));
    // Nobody means one that does not see which one it is. Clients that keep them by their targets send back one of several.
    check(&closed, &spec(), mounts(|mounts| drop(mounts.remove(0))), Ok(spec()));
    check(&closed, &spec(), mounts(Vec::clear), Ok(spec()));
    check(&closed, &spec(), |edited| drop(edited["TaskTemplate"]["ContainerSpec"]["Mounts"].take()), Ok(spec()));
    let mut alike = spec();
    mounts(|mounts| drop(mounts[0].as_object_mut().unwrap().remove("ReadOnly")))(&mut alike);
    check(&closed, &alike, mounts(|mounts| mounts.truncate(1)), Ok(alike.clone()));
    let other = |mounts: &mut Vec<Value>| mounts.push(json!({"Type": "bind", "Target": "/x"}));
    check(&closed, &spec(), mounts(other), Err("$.TaskTemplate.ContainerSpec.Mounts[2].Target is hidden"));
    // A new one would never go again.
    check(
        &closed,
        &spec(),
        mounts(|mounts| mounts.push(json!({}))),
        Err("the elements of $.TaskTemplate.ContainerSpec.Mounts cannot be told apart: change fewer of them at a time"),
    );
    let uncertain =
        "the elements of $.TaskTemplate.ContainerSpec.Mounts cannot be told apart: change fewer of them at a time";
    check(&closed, &spec(), mounts(|mounts| mounts[1]["ReadOnly"] = json!(true)), Err(uncertain));
    check(&closed, &spec(), mounts(|mounts| mounts[0] = json!({"Type": "volume"})), Err(uncertain));
    check(&closed, &spec(), mounts(|mounts| mounts.push(mounts[0].clone())), Err(uncertain));

    // With the target shown by a rule, it tells them apart.
    let rule = Rule {
        location: crate::yaml::Location::file("rule"),
        on: "Mount".to_owned(),
        selector: "$.Target".parse().unwrap(),
        action: crate::filter::Action::Keep,
    };
    paths.mask = false;
    let open = lens(&paths, &[rule], &[]);
    check(&open, &spec(), |_| {}, Ok(spec()));
    let edit = |mounts: &mut Vec<Value>| {
        mounts[1]["ReadOnly"] = json!(true);
        mounts.reverse();
    };
    check(&open, &spec(), mounts(edit), expected(edit));
    let added = |mounts: &mut Vec<Value>| mounts.push(json!({"Type": "tmpfs", "Target": "/three"}));
    check(&open, &spec(), mounts(added), expected(added));
    check(&open, &spec(), mounts(|mounts| drop(mounts.remove(0))), expected(|mounts| drop(mounts.remove(0))));
    let everything = lens(&Show { classes: Class::ALL.into_iter().collect(), ..Show::default() }, &[], &[]);
    let empty = |mounts: &mut Vec<Value>| mounts.push(json!({}));
    check(&everything, &spec(), mounts(empty), expected(empty));
    check(&everything, &expected(empty).unwrap(), mounts(|mounts| drop(mounts.pop())), Ok(spec()));
    let replaced = |mounts: &mut Vec<Value>| mounts[0] = json!({"Type": "tmpfs", "Target": "/three"});
    // It could be the first one with a new target, and then its source would be lost.
    check(&open, &spec(), mounts(replaced), Err(uncertain));
    let source = |mounts: &mut Vec<Value>| mounts[0]["Source"] = json!("/etc");
    check(&open, &spec(), mounts(source), Err("$.TaskTemplate.ContainerSpec.Mounts[0].Source is hidden"));
    check(&open, &spec(), mounts(|mounts| mounts[0]["Target"] = json!("/two")), Err(uncertain));
    // What is shown whole is known by its key.
    check(
        &open,
        &spec(),
        |edited| edited["EndpointSpec"]["Ports"][1]["PublishedPort"] = json!(9),
        Ok(with("/EndpointSpec/Ports/1/PublishedPort", json!(9))),
    );
}

/// Of a secret, nothing that is known is hidden here: another id is another secret.
#[test]
fn an_element_of_which_nothing_is_hidden_is_replaced_by_one_with_another_key() {
    let secrets = |secrets: Value| json!({"TaskTemplate": {"ContainerSpec": {"Image": "a", "Secrets": secrets}}});
    let secret = |id: &str, name: &str| json!({"SecretID": id, "SecretName": id, "File": {"Name": name, "Mode": 292}});
    let before = secrets(json!([secret("one", "key"), secret("two", "other")]));
    let after = secrets(json!([secret("two", "other"), secret("three", "key")]));
    let rotate = |edited: &mut Value| {
        let list = edited["TaskTemplate"]["ContainerSpec"]["Secrets"].as_array_mut().unwrap();
        let mut new = list.remove(0);
        (new["SecretID"], new["SecretName"]) = (json!("three"), json!("three"));
        list.push(new);
    };
    let mut paths = show();
    let uncertain =
        "the elements of $.TaskTemplate.ContainerSpec.Secrets cannot be told apart: change fewer of them at a time";
    check(&lens(&paths, &[], &[]), &before, rotate, Err(uncertain));
    paths.classes = paths.classes.with(Class::HostPath);
    check(&lens(&paths, &[], &[]), &before, rotate, Ok(after));
    // Two ports of one key change at a time.
    let ports = |one: u16, other: u16| {
        let port = |published: u16| json!({"Protocol": "tcp", "TargetPort": 80, "PublishedPort": published});
        json!({"EndpointSpec": {"Ports": [port(one), port(other)]}})
    };
    check(&lens(&paths, &[], &[]), &ports(1, 2), |edited| *edited = ports(3, 4), Ok(ports(3, 4)));
}

#[test]
fn a_masked_text_is_left_or_replaced_and_not_changed_around_the_mask() {
    let mut text = show();
    text.classes = text.classes.with(Class::FreeText).with(Class::Command);
    let lens = lens(&text, &[], &[]);
    let spec = json!({
        "Labels": {"db": "postgres://u:hidden1234@db/x", "token": "hidden"},
        "TaskTemplate": {"ContainerSpec": {"Args": ["--token=hidden", "--port=80", "--password", "hidden"]}},
    });
    assert_eq!(
        shown(&lens, &spec),
        json!({
            "Labels": {"db": "postgres://u:[redacted]@db/x", "token": "[redacted]"},
            "TaskTemplate": {"ContainerSpec": {"Args": ["--token=[redacted]", "--port=80", "--password", "[redacted]"]}},
        })
    );
    check(&lens, &spec, |_| {}, Ok(spec.clone()));
    let mut expected = spec.clone();
    expected["TaskTemplate"]["ContainerSpec"]["Args"] =
        json!(["--token=hidden", "--port=80", "--password", "hidden", "--new"]);
    let edit = |edited: &mut Value| {
        edited["TaskTemplate"]["ContainerSpec"]["Args"] =
            json!(["--token=[redacted]", "--port=80", "--password", "[redacted]", "--new"]);
    };
    check(&lens, &spec, edit, Ok(expected));
    let around = "the text at $.Labels.* is changed around a mask";
    check(&lens, &spec, |edited| edited["Labels"]["db"] = json!("postgres://u:[redacted]@other/x"), Err(around));
    check(&lens, &spec, |edited| edited["Labels"]["copy"] = json!("[redacted]"), Err(around));
    check(&lens, &spec, |edited| edited["Labels"]["token"] = json!("mine"), Err("$.Labels.* is hidden"));
    let mut expected = spec.clone();
    expected["Labels"] = json!({"db": "sqlite", "token": "hidden"});
    check(&lens, &spec, |edited| edited["Labels"]["db"] = json!("sqlite"), Ok(expected));
    let mut expected = spec.clone();
    expected["Labels"] = json!({"token": "hidden"});
    check(&lens, &spec, |edited| drop(edited["Labels"].as_object_mut().unwrap().remove("db")), Ok(expected));
    let args = |args: Value| move |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Args"] = args.clone();
    // Without the option before it, nobody would know that the last one is a password.
    let uncertain =
        "the elements of $.TaskTemplate.ContainerSpec.Args cannot be told apart: change fewer of them at a time";
    check(&lens, &spec, args(json!(["--token=[redacted]", "--port=80", "[redacted]"])), Err(uncertain));
    check(&lens, &spec, args(json!(["--password", "[redacted]"])), Err(uncertain));
    check(&lens, &spec, args(json!(["--token=[redacted]"])), {
        let mut expected = spec.clone();
        expected["TaskTemplate"]["ContainerSpec"]["Args"] = json!(["--token=hidden"]);
        Ok(expected)
    });
    let around = "the text at $.TaskTemplate.ContainerSpec.Args[0] is changed around a mask";
    check(&lens, &spec, args(json!(["--tokens=[redacted]"])), Err(around));
}

/// What Go reads, and what other readers do, must be what the lens has looked at.
#[test]
fn a_member_that_is_not_spelled_as_in_the_schema_is_refused() {
    let lens = lens(&show(), &[], &["$.TaskTemplate"]);
    for (edited, expected) in [
        (r#"{"labels":{"a":"b"}}"#, "a member of $ is not spelled as in the API"),
        (r#"{"labels":{}}"#, "a member of $ is not spelled as in the API"),
        (r#"{"Name":"a","name":"b"}"#, "a member of $ is not spelled as in the API"),
        (r#"{"Name":"a","N\u0061me":"b"}"#, "edited document: duplicate key in an object"),
        (
            r#"{"TaskTemplate":{"ContainerSpec":{"env":["A=1"]}}}"#,
            "a member of $.TaskTemplate.ContainerSpec is not spelled as in the API",
        ),
        (r#"{"Ta\u017fkTemplate":{}}"#, "a member of $ is not spelled as in the API"),
        (r#"{"TaskTemplate":{"\u212Aind":{},"kind":{}}}"#, "a member of $.TaskTemplate is not spelled as in the API"),
        (r#"{"Newer":{"a":1}}"#, "$.*.* is a member that is not known"),
        (r#"{"Name":["a"]}"#, "$.Name[0] is hidden"),
        (r#"{"Mode":"x"}"#, "the value at $.Mode is of another type"),
        (r#"{"Name":"a"}}"#, "edited document: expected one JSON value"),
        (r#"{"Name":"a"},"Spec":{}"#, "edited document: expected one JSON value"),
        (r#"[]"#, "the value at $ is of another type"),
        (r#"null"#, "the value at $ is of another type"),
        ("", "edited document: expected one JSON value"),
        (r#"{"Name":"\ud800"}"#, "edited document: expected one JSON value"),
    ] {
        assert_eq!(put(&lens, &spec(), edited), Err(expected.to_owned()), "{edited}");
    }
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    assert_eq!(put(&lens, &spec(), &deep), Err("edited document: nested deeper than 128".to_owned()));
}

/// The schema has both `Healthcheck` and `HealthCheck`. The engine takes them for one.
#[test]
fn two_spellings_of_a_member_are_one() {
    let lens = lens(&show(), &[], &[]);
    let container = "$.TaskTemplate.ContainerSpec";
    let spelling = format!("a member of {container} is not spelled as in the API");
    let add = |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["HealthCheck"] = Value::Null;
    check(&lens, &spec(), add, Err(&spelling));
    // What is hidden as a whole is not erased by its other name.
    let hidden = json!({"TaskTemplate": {"ContainerSpec": {"Healthcheck": {"Test": ["hidden"]}}}});
    let other = |value: Value| json!({"TaskTemplate": {"ContainerSpec": {"HealthCheck": value}}}).to_string();
    assert_eq!(put(&lens, &hidden, &other(Value::Null)), Err(spelling));
}

/// A client that changes an object into another removes what it was shown of it, and with that the rest.
#[test]
fn an_object_that_was_shown_is_removed_whole() {
    let lens = lens(&show(), &[], &[]);
    let remove = |edited: &mut Value| {
        drop(edited["TaskTemplate"]["ContainerSpec"].as_object_mut().unwrap().remove("Healthcheck"));
    };
    let mut expected = spec();
    remove(&mut expected);
    check(&lens, &spec(), remove, Ok(expected));
    // Of one whose content is all hidden, an empty object is shown, which some clients leave out.
    let hidden = json!({"TaskTemplate": {"ContainerSpec": {"Image": "a", "Healthcheck": {"Test": ["hidden"]}}}});
    assert_eq!(shown(&lens, &hidden)["TaskTemplate"]["ContainerSpec"]["Healthcheck"], json!({}));
    check(&lens, &hidden, remove, Ok(hidden.clone()));
}

#[test]
fn numbers_and_texts_go_up_as_they_are_meant() {
    let lens = lens(&show(), &[], &[]);
    let text = r#"{"ID":"a","Spec":{"Name":"\u003ca\u003e","UpdateConfig":{"Delay":18446744073709551615,"MaxFailureRatio":0.10}}}"#;
    let edited = r#"{"Name":"<b>","UpdateConfig":{"Delay":18446744073709551615,"MaxFailureRatio":1e-1}}"#;
    let out = String::from_utf8(lens.put(text.as_bytes(), edited.as_bytes()).unwrap()).unwrap();
    assert_eq!(out, r#"{"Name":"<b>","UpdateConfig":{"Delay":18446744073709551615,"MaxFailureRatio":1e-1}}"#);
    let same = r#"{"Name":"<a>","UpdateConfig":{"Delay":18446744073709551615,"MaxFailureRatio":0.10}}"#;
    let out = String::from_utf8(lens.put(text.as_bytes(), same.as_bytes()).unwrap()).unwrap();
    assert_eq!(out, text.strip_prefix(r#"{"ID":"a","Spec":"#).unwrap().strip_suffix('}').unwrap());
}

#[test]
fn memory_covers_the_trees() {
    let of_value = size_of::<Marked<'_>>();
    assert!(of_value <= 128, "{of_value}");
    // A vector that grows has room for twice as many values.
    assert!(Lens::memory(b"{}", b"[1,2,3]") >= 3 * 2 * of_value);
}

/// A rule may hide a value because of another one, or of its place in a list. No edit of the other one shows it.
#[test]
fn no_change_shows_what_is_hidden() {
    let rule = |on: &str, path: &str| Rule {
        location: crate::yaml::Location::file("rule"),
        on: on.to_owned(),
        selector: path.parse().unwrap(),
        action: crate::filter::Action::Remove,
    };
    let mut paths = show();
    paths.classes = paths.classes.with(Class::HostPath).with(Class::Command);
    let rules = [rule("ContainerSpec", "$.Mounts[?@.Type=='bind'].Source"), rule("HealthConfig", "$.Test[1:]")];
    let mut lens = lens(&paths, &rules, &[]);
    check(&lens, &spec(), |_| {}, Ok(spec()));
    let not_as_written = "what would be shown of $ is not what was written";
    // The reader may tell nothing by a type.
    lens.read_by(ReaderOfEdits { templates: &[], is_template, destinations: &[], questions: &[], kinds: &[] });
    let mount = |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Mounts"][0]["Type"] = json!("volume");
    check(&lens, &spec(), mount, Err(not_as_written));
    let probe = |value: Value| {
        move |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Healthcheck"]["Test"] = value.clone()
    };
    check(&lens, &spec(), probe(json!([])), Err(not_as_written));
    check(&lens, &spec(), probe(json!(["NONE"])), Err(not_as_written));
}

/// The reader would fill in what is hidden, and show it elsewhere.
#[test]
fn a_template_goes_where_it_was_shown_and_nowhere_else() {
    let lens = lens(&show(), &[], &["$.TaskTemplate.ContainerSpec.Env"]);
    let hostname = |text: &str| {
        let mut spec = spec();
        spec.pointer_mut(CONTAINER).unwrap()["Hostname"] = json!(text);
        spec
    };
    let set = |text: &'static str| {
        move |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Hostname"] = json!(text)
    };
    let refused = "the text at $.TaskTemplate.ContainerSpec.Hostname is a template, which could show what is hidden";
    let (all, node) = ("{{range .Service.Labels}}{{.}}{{end}}", "{{.Node.Hostname}}");
    for before in [spec(), hostname("a"), hostname(node)] {
        check(&lens, &before, set(all), Err(refused));
    }
    check(&lens, &spec(), set("a{b}"), Ok(hostname("a{b}")));
    // As it was shown, with another change.
    let mut expected = hostname(node);
    expected["Name"] = json!("{{name}}");
    check(&lens, &hostname(node), |edited| edited["Name"] = json!("{{name}}"), Ok(expected));
    // Where a client may set what is hidden.
    let variable =
        |edited: &mut Value| edited["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["C={{.Service.Labels}}"]);
    check(
        &lens,
        &spec(),
        variable,
        Err("the text at $.TaskTemplate.ContainerSpec.Env[0] is a template, which could show what is hidden"),
    );
}

/// The reader would tell the hidden value beside it in an error: of a path that it takes for the name of a volume.
#[test]
fn what_says_what_a_hidden_value_is_stays() {
    let rule = Rule {
        location: crate::yaml::Location::file("rule"),
        on: "Mount".to_owned(),
        selector: "$.Target".parse().unwrap(),
        action: crate::filter::Action::Keep,
    };
    let everything = Show { classes: Class::ALL.into_iter().collect(), ..Show::default() };
    let (hiding, showing) = (lens(&show(), &[rule], &[]), lens(&everything, &[], &[]));
    let changed = |value: Option<&'static str>| {
        move |edited: &mut Value| {
            let mount = edited.pointer_mut(&format!("{CONTAINER}/Mounts/0")).unwrap().as_object_mut().unwrap();
            match value {
                Some(value) => drop(mount.insert("Type".to_owned(), json!(value))),
                None => drop(mount.remove("Type")),
            }
        }
    };
    let refused = "$.TaskTemplate.ContainerSpec.Mounts[0].Type is changed, and something beside it is hidden";
    for value in [Some("volume"), Some(""), None] {
        check(&hiding, &spec(), changed(value), Err(refused));
    }
    check(&showing, &spec(), changed(Some("volume")), Ok(with(&format!("{CONTAINER}/Mounts/0/Type"), json!("volume"))));
    check(&hiding, &spec(), changed(Some("bind")), Ok(spec()));
    // A composite, which may also be new; what is empty is as good as not there.
    let options = |value: Value| {
        let place = format!("{CONTAINER}/Mounts/0");
        move |edited: &mut Value| edited.pointer_mut(&place).unwrap()["BindOptions"] = value.clone()
    };
    let of = |value: Value| {
        let mut spec = spec();
        options(value)(&mut spec);
        spec
    };
    let refused = "$.TaskTemplate.ContainerSpec.Mounts[0].BindOptions is changed, and something beside it is hidden";
    let (slave, shared) = (json!({"Propagation": "rslave"}), json!({"Propagation": "rshared"}));
    for (before, after, is_changed) in [
        (json!({}), &shared, true),
        (json!(null), &shared, true),
        (slave.clone(), &shared, true),
        (slave.clone(), &json!({}), true),
        (slave.clone(), &json!(null), true),
        (slave.clone(), &slave, false),
        (slave.clone(), &json!({"Propagation": "rslave", "NonRecursive": false}), false),
        (json!({}), &json!({"Propagation": ""}), false),
    ] {
        let (before, change) = (of(before), options(after.clone()));
        if is_changed {
            check(&hiding, &before, change, Err(refused));
        } else {
            let mut edited = shown(&hiding, &before);
            change(&mut edited);
            let written = put(&hiding, &before, &edited.to_string()).unwrap();
            let mount = format!("{CONTAINER}/Mounts/0/Source");
            assert_eq!(written.pointer(&mount), before.pointer(&mount), "{after}");
        }
    }
    // A new mount has nothing hidden yet.
    let mut edited = shown(&hiding, &spec());
    let mounts = edited.pointer_mut(&format!("{CONTAINER}/Mounts")).unwrap().as_array_mut().unwrap();
    mounts.push(json!({"Type": "volume", "Target": "/new", "BindOptions": shared}));
    put(&hiding, &spec(), &edited.to_string()).unwrap();
}
