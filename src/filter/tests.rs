//! Tests of plans: rules and classes, a document, and what is left of it.

use super::*;
use crate::api::lists;
use crate::schema::{Catalogue, CatalogueFiles, Class, ClassSet, Schema};
use crate::yaml::{self, Location};

const KEY: [u8; 32] = [7; 32];

/// Parses a rule written `action path`, which is for the schema `A`, or `B: action path`, which is for the schema `B`.
fn rule(text: &str) -> Rule {
    let (on, text) = text.split_once(": ").unwrap_or(("A", text));
    let (action, path) = text.split_once(' ').unwrap();
    let action = Action::named(action, "{\"new\": 1.0}".parse().ok()).unwrap();
    Rule { location: Location::file(text), on: on.to_owned(), selector: path.parse().unwrap(), action }
}

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| rule(text)).collect()
}

fn applied(plan: &Plan, before: &str) -> Result<String, FilterError> {
    let mut out = b"before".to_vec();
    let result = plan.apply(before.as_bytes(), &mut out);
    let text = String::from_utf8(out).unwrap();
    let after = text.strip_prefix("before").unwrap();
    if result.is_err() {
        assert_eq!(after, "", "an error leaves nothing");
    }
    result.map(|_| after.to_owned())
}

#[track_caller]
fn check_rules(texts: &[&str], before: &str, after: &str) {
    let plan = Plan::compile_rules(&rules(texts)).unwrap().with_hash_key(KEY);
    assert_eq!(applied(&plan, before), Ok(after.to_owned()), "{texts:?}");
}

#[track_caller]
fn check(path: &str, action: &str, before: &str, after: &str) {
    check_rules(&[&format!("{action} {path}")], before, after);
}

#[track_caller]
fn check_error(texts: &[&str], before: &str, error: FilterError) {
    let plan = Plan::compile_rules(&rules(texts)).unwrap();
    assert_eq!(applied(&plan, before), Err(error));
}

mod selectors {
    use super::*;

    #[test]
    fn a_name_selects_a_member() {
        check("$.a.b", "redact", r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":"[redacted]","c":2}}"#);
        check("$['a b']", "redact", r#"{"a b":1}"#, r#"{"a b":"[redacted]"}"#);
        check("$.a", "redact", r#"[{"a":1}]"#, r#"[{"a":1}]"#);
        check("$.a.b", "redact", r#"{"a":[{"b":1}]}"#, r#"{"a":[{"b":1}]}"#);
        check("$", "blank", r#"{"a":1}"#, "{}");
        check("$", "remove", r#"{"a":1}"#, "null");
        check("$['']", "redact", r#"{"":1}"#, r#"{"":"[redacted]"}"#);
    }

    #[test]
    fn an_index_selects_an_element() {
        check("$[0]", "redact", "[1,2,3]", r#"["[redacted]",2,3]"#);
        check("$[-1]", "redact", "[1,2,3]", r#"[1,2,"[redacted]"]"#);
        check("$[3]", "redact", "[1,2,3]", "[1,2,3]");
        check("$[-4]", "redact", "[1,2,3]", "[1,2,3]");
        check("$[0]", "redact", r#"{"0":1}"#, r#"{"0":1}"#);
        check("$[-1][-1]", "remove", "[[1,2],[3,[4],{}]]", "[[1,2],[3,[4]]]");
    }

    #[test]
    fn a_slice_selects_a_range() {
        check("$[1:3]", "remove", "[0,1,2,3]", "[0,3]");
        check("$[:2]", "remove", "[0,1,2,3]", "[2,3]");
        check("$[::2]", "remove", "[0,1,2,3]", "[1,3]");
        check("$[-2:]", "remove", "[0,1,2,3]", "[0,1]");
        check("$[::-2]", "remove", "[0,1,2,3]", "[0,2]");
        check("$[3:0:-2]", "remove", "[0,1,2,3]", "[0,2]");
        check("$[::0]", "remove", "[0,1]", "[0,1]");
    }

    #[test]
    fn a_wildcard_selects_every_child() {
        check("$.*", "redact", r#"{"a":1,"b":[2]}"#, r#"{"a":"[redacted]","b":"[redacted]"}"#);
        check("$[*]", "remove", "[1,2]", "[]");
        check("$.*.a", "remove", r#"{"x":{"a":1},"y":[{"a":1}]}"#, r#"{"x":{},"y":[{"a":1}]}"#);
    }

    #[test]
    fn a_union_selects_what_any_part_of_it_selects() {
        check("$['a','c']", "remove", r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2}"#);
        check("$[0,-1,1:2]", "remove", "[0,1,2,3,4]", "[2,3]");
        check("$['a',0]", "remove", "[0,1]", "[1]");
        check("$['a',?@.x]", "remove", r#"{"a":1,"b":{"x":1},"c":{}}"#, r#"{"c":{}}"#);
    }

    #[test]
    fn a_descendant_segment_selects_at_any_depth() {
        check("$..a", "remove", r#"{"a":1,"b":[{"a":2,"c":{"a":3,"d":4}}]}"#, r#"{"b":[{"c":{"d":4}}]}"#);
        check("$..*", "remove", r#"{"a":1}"#, "{}");
        check("$..[0]", "remove", "[[1,2],[3,[4,5]]]", "[[[5]]]");
        check("$..a..b", "remove", r#"{"b":1,"a":{"b":2,"c":[{"b":3}]}}"#, r#"{"b":1,"a":{"c":[{}]}}"#);
        check("$.x..a", "remove", r#"{"a":1,"x":{"a":2}}"#, r#"{"a":1,"x":{}}"#);
    }

    #[test]
    fn a_filter_expression_selects_where_it_is_true() {
        let before = r#"{"m":[{"t":"bind","s":1},{"t":"volume","s":2}]}"#;
        check("$.m[?@.t=='bind']", "remove", before, r#"{"m":[{"t":"volume","s":2}]}"#);
        check("$.m[?@.t=='bind'].s", "blank", before, r#"{"m":[{"t":"bind","s":0},{"t":"volume","s":2}]}"#);
        check("$.m[?match(@.t, 'b.*')]", "remove", before, r#"{"m":[{"t":"volume","s":2}]}"#);
        check("$.*[?search(@.t, 'ol')]", "remove", before, r#"{"m":[{"t":"bind","s":1}]}"#);
        check("$[?length(@) > 1]", "remove", before, "{}");
        check("$[?@ > 1]", "remove", r#"{"a":1,"b":2}"#, r#"{"a":1}"#);
        check("$..[?@.s == 2]", "remove", before, r#"{"m":[{"t":"bind","s":1}]}"#);
        check("$.m[?@.s == $.n].t", "blank", r#"{"m":[{"t":"x","s":5}],"n":5}"#, r#"{"m":[{"t":"","s":5}],"n":5}"#);
        check("$.m[?@.s != $.n].t", "blank", r#"{"m":[{"t":"x","s":5}],"n":5}"#, r#"{"m":[{"t":"x","s":5}],"n":5}"#);
        check("$[?@.a]", "remove", r#" [ {"a":1} , {"b": 2} ] "#, r#"[{"b": 2} ] "#);
    }

    #[test]
    fn several_rules_can_apply_to_one_array() {
        let before = r#"[{"a":1,"b":1},{"a":2,"b":2},{"a":1,"b":3}]"#;
        check_rules(
            &["blank $[?@.a==1].b", "remove $[-1]", "redact $[0,1].a"],
            before,
            r#"[{"a":"[redacted]","b":0},{"a":"[redacted]","b":2}]"#,
        );
    }

    #[test]
    fn rules_with_the_same_condition_share_it() {
        let texts: Vec<String> = (0..30).map(|at| format!("blank $.m[?@.t=='x'].f{at}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        check_rules(
            &texts,
            r#"{"m":[{"t":"x","f7":3},{"t":"y","f7":3}]}"#,
            r#"{"m":[{"t":"x","f7":0},{"t":"y","f7":3}]}"#,
        );
    }

    #[test]
    fn too_many_conditions_are_refused() {
        let rules: Vec<Rule> = (0..9).map(|at| rule(&format!("blank $.m[?@.t=={at}].f"))).collect();
        assert!(matches!(Plan::compile_rules(&rules), Err(CompileError::TooManyConditions { .. })));
    }

    #[test]
    fn too_many_states_are_refused() {
        let step = "['a','b']";
        let rules: Vec<Rule> = (0..20).map(|at| rule(&format!("blank $..a{}..z{at}", step.repeat(at)))).collect();
        assert_eq!(Plan::compile_rules(&rules).err(), Some(CompileError::TooManyStates));
    }
}

mod precedence {
    use super::*;

    #[test]
    fn the_last_matching_rule_wins() {
        check_rules(&["redact $.a", "blank $.a"], r#"{"a":1}"#, r#"{"a":0}"#);
        check_rules(&["blank $.a", "keep $.a"], r#"{"a":1}"#, r#"{"a":1}"#);
        check_rules(&["keep $.a", "blank $.*"], r#"{"a":1}"#, r#"{"a":0}"#);
        check_rules(&["blank $.*", "keep $.a"], r#"{"a":1,"b":1}"#, r#"{"a":1,"b":0}"#);
    }

    #[test]
    fn a_hidden_value_hides_everything_inside_it() {
        check_rules(&["redact $.a", "keep $.a.b"], r#"{"a":{"b":1}}"#, r#"{"a":"[redacted]"}"#);
        check_rules(&["keep $.a.b", "blank $.a"], r#"{"a":{"b":1}}"#, r#"{"a":{}}"#);
    }

    #[test]
    fn rules_still_hide_fields_inside_a_kept_value() {
        check_rules(
            &["blank $.a", "keep $.a", "mask $.a.e[*]"],
            r#"{"a":{"e":["K=v"],"x":1}}"#,
            r#"{"a":{"e":["K=[redacted]"],"x":1}}"#,
        );
        check_rules(&["mask $.a.e[*]", "keep $.a"], r#"{"a":{"e":["K=v"]}}"#, r#"{"a":{"e":["K=[redacted]"]}}"#);
    }

    #[test]
    fn replace_writes_the_value() {
        check("$.a", "replace", r#"{"a":[1],"b":null}"#, r#"{"a":{"new": 1.0},"b":null}"#);
    }
}

mod keys {
    use super::*;

    #[test]
    fn a_rule_hides_every_spelling_of_a_name() {
        for spelling in ["Env", "env", "ENV", "eNV"] {
            check("$.Env", "redact", &format!(r#"{{"{spelling}":1}}"#), &format!(r#"{{"{spelling}":"[redacted]"}}"#));
            check("$..Env", "remove", &format!(r#"{{"x":[{{"{spelling}":1}}]}}"#), r#"{"x":[{}]}"#);
        }
        check("$.Tasks", "remove", r#"{"Ta\u017Fk\u017f":1,"ta\u017f\u212as":2,"taſKs":3,"b":1}"#, r#"{"b":1}"#);
        check("$['É']", "remove", r#"{"é":1,"e":2}"#, r#"{"e":2}"#);
        check("$['σ']", "remove", r#"{"Σ":1,"ς":2,"s":3}"#, r#"{"s":3}"#);
        check("$.Config.Env", "blank", r#"{"config":{"ENV":["a"]}}"#, r#"{"config":{"ENV":[]}}"#);
    }

    #[test]
    fn a_keep_rule_applies_to_one_spelling() {
        check_rules(&["remove $.*", "keep $.Env"], r#"{"env":1,"Env":2,"ENV":3}"#, r#"{"Env":2}"#);
        check_rules(&["remove $.Env", "keep $.env"], r#"{"env":1,"Env":2,"ENV":3}"#, r#"{"env":1}"#);
        check_rules(&["keep $.env", "remove $.Env"], r#"{"env":1,"Env":2,"ENV":3}"#, "{}");
    }

    #[test]
    fn escapes_in_names_are_decoded_before_comparing() {
        check("$.Env", "redact", r#"{"\u0045nv":1}"#, r#"{"\u0045nv":"[redacted]"}"#);
        check("$.Env", "redact", r#"{"\u0065nv":1}"#, r#"{"\u0065nv":"[redacted]"}"#);
        check("$['a\"b']", "redact", r#"{"a\"b":1}"#, r#"{"a\"b":"[redacted]"}"#);
        check("$['😀']", "remove", r#"{"\ud83d\ude00":1}"#, "{}");
        check("$['\\\\']", "remove", r#"{"\\":1}"#, "{}");
    }

    /// A plan guesses the order of members by the documents before. What it leaves does not depend on them.
    #[test]
    fn the_order_of_members_in_other_documents_changes_nothing() {
        let texts = ["redact $.a", "remove $.b", "blank $.c", r#"redact $['d"e']"#, r"remove $['f\\g']"];
        let members = [
            r#""a":1"#,
            r#""b": {"a":2}"#,
            r#""c" :"x""#,
            r#""d\"e":3"#,
            r#""f\\g":4"#,
            r#""\u0061":5"#,
            r#""A":6"#,
            r#""other":[7]"#,
            r#""aa":8"#,
        ];
        let used = Plan::compile_rules(&rules(&texts)).unwrap();
        let mut random = 1_usize;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..3_000 {
            // Some have a name twice.
            let chosen: Vec<&str> = (0..next(6)).map(|_| members[next(members.len())]).collect();
            let document = format!("{{{}}}", chosen.join(","));
            let fresh = Plan::compile_rules(&rules(&texts)).unwrap();
            assert_eq!(applied(&used, &document), applied(&fresh, &document), "{document}");
        }
    }

    #[test]
    fn a_string_is_read_in_one_way_wherever_it_stops() {
        for length in 0..50 {
            let before = "x".repeat(length);
            for (inside, is_json) in [
                ("", true),
                (r#"\""#, true),
                (r"\\", true),
                (r"\u00e9", true),
                ("é", true),
                ("\u{7f}", true),
                ("\u{1f}", false),
                ("\n", false),
                (r"\x", false),
                (r"\", false),
            ] {
                for after in ["", "y", "yyyyyyyyyyyyyyyyyyyyyyyyyy", "é"] {
                    let document = format!(r#"{{"a":"{before}{inside}{after}","{before}{inside}{after}":[2]}}"#);
                    let left = applied(&Plan::compile_rules(&rules(&["blank $.b"])).unwrap(), &document);
                    assert_eq!(left.is_ok(), is_json, "{document}");
                    assert!(left.is_err() || left == Ok(document));
                }
            }
        }
        // Bytes that are no text, at every place of a string.
        for at in 0..40 {
            let mut document = format!(r#"["{}"]"#, "x".repeat(40)).into_bytes();
            document[at + 2] = 0xff;
            let plan = Plan::compile_rules(&rules(&["blank $.b"])).unwrap();
            assert_eq!(plan.apply(&document, &mut Vec::new()), Err(FilterError::NotJson), "{at}");
        }
    }

    #[test]
    fn duplicate_names_are_refused() {
        for before in [
            r#"{"a":1,"a":2}"#,
            r#"{"b":1,"b":2}"#,
            r#"{"b":1,"\u0062":2}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{"y":[{"z":1,"z":1}]}}"#,
            r#"{"x":{"":1,"":1}}"#,
        ] {
            check_error(&["blank $.a"], before, FilterError::DuplicateKey);
        }
        check_error(&[], r#"[{"a":1,"a":1}]"#, FilterError::DuplicateKey);
        check_error(&["remove $.m[?@.a==1]"], r#"{"m":[{"a":1,"a":2}]}"#, FilterError::DuplicateKey);
        let many: Vec<String> = (0..200).map(|at| format!("\"k{at}\":1")).collect();
        check_error(&[], &format!("{{{},\"k77\":1}}", many.join(",")), FilterError::DuplicateKey);
        check_error(&["blank $.a"], &format!("{{{},\"k77\":1}}", many.join(",")), FilterError::DuplicateKey);
        let whole = format!("{{{}}}", many.join(","));
        check("$.a", "blank", &whole, &whole);
    }

    #[test]
    fn many_names_in_one_object_are_distinguished() {
        let texts: Vec<String> = (0..300).map(|at| format!("blank $.name{at}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let before: Vec<String> = (0..400).map(|at| format!("\"name{at}\":1")).collect();
        let after: Vec<String> = (0..400).map(|at| format!("\"name{at}\":{}", i32::from(at >= 300))).collect();
        check_rules(&texts, &format!("{{{}}}", before.join(",")), &format!("{{{}}}", after.join(",")));
        check_error(&texts, r#"{"name299":1,"name299":1}"#, FilterError::DuplicateKey);
    }

    #[test]
    fn a_name_that_is_not_unicode_is_refused() {
        check_error(&["blank $.a"], r#"{"\ud800":1}"#, FilterError::NotJson);
    }
}

mod fidelity {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_in_a_shown_text_withholds_the_document() {
        for text in [r#"{"a":"\ud83d"}"#, r#"{"a":"\ude00x"}"#, r#"{"\ud83d":1}"#, r#"["\ud83d\u0041"]"#] {
            check_error(&["redact $.b"], text, FilterError::NotJson);
        }
        check_rules(&["redact $.a"], r#"{"a":"\ud83d"}"#, r#"{"a":"[redacted]"}"#);
    }

    #[test]
    fn what_no_rule_matches_is_unchanged() {
        let text = r#"{"z":1.0e5,"a":-0,"big":18446744073709551615,"bigger":123456789012345678901234567890,"e":1E+2,"s":"\u0041\/\n\ud83d\ude00","t":[true,null,{}],"k\u0065y":[]}"#;
        check_rules(&[], text, text);
        check("$.none", "blank", text, text);
        check("$..none", "blank", text, text);
        check("$.t[5].none", "blank", text, text);
        check("$..[?@.none]", "blank", text, text);
    }

    #[test]
    fn only_whitespace_before_the_document_is_dropped() {
        check(
            "$.a.b",
            "blank",
            " {\n\t\"a\" : { \"b\" : 1 , \"c\" : \" x \" } , \"d\" : [ 1 , 2 ] }\r\n",
            "{\n\t\"a\" : { \"b\" : 0 , \"c\" : \" x \" } , \"d\" : [ 1 , 2 ] }\r\n",
        );
    }

    #[test]
    fn a_removed_member_takes_its_comma_along() {
        let removed = |before: &str, after: &str| check("$[?@ == 0]", "remove", before, after);
        removed("[0]", "[]");
        removed("[0,1]", "[1]");
        removed("[1,0]", "[1]");
        removed("[0,1,0,2,0,0,3,0]", "[1,2,3]");
        removed("[ 0 , 1 , 0 ]", "[1]");
        removed("[1 ,0, 2 ]", "[1, 2 ]");
        removed(r#"{"a":0,"b":[0,1],"c":0,"d":2,"e":0}"#, r#"{"b":[0,1],"d":2}"#);
    }

    #[test]
    fn a_scalar_is_a_document() {
        check("$.a", "blank", " 1.50 ", "1.50 ");
        check("$", "mask", "\"A=1\"", "\"A=[redacted]\"");
        check("$.a", "blank", "null", "null");
    }
}

mod limits {
    use super::*;

    fn plan(texts: &[&str], size: usize, depth: usize) -> Plan {
        Plan::compile_rules(&rules(texts)).unwrap().with_limits(DocumentLimits { size, depth })
    }

    #[test]
    fn malformed_json_is_refused() {
        for before in [
            "",
            " ",
            "{",
            "[1",
            "{\"a\":1}x",
            "{} {}",
            "{\"a\":1,}",
            "[1,]",
            "{'a':1}",
            "{a:1}",
            "01",
            "1.",
            "nul",
            "\"\u{1}\"",
            "{\"a\" 1}",
            "[1 2]",
            "\u{feff}{}",
            "NaN",
            "\"\\x\"",
            "{\"a\":}",
            "// c\n1",
            "]",
        ] {
            check_error(&["blank $.a"], before, FilterError::NotJson);
            check_error(&["keep $.a"], before, FilterError::NotJson);
        }
        let plan = plan(&["remove $.a"], 100, 10);
        for bytes in [&b"{\"a\":\"\xff\"}"[..], b"\"\xc3\"", b"{\"\xed\xa0\x80\":1}"] {
            assert_eq!(plan.apply(bytes, &mut Vec::new()), Err(FilterError::NotJson));
        }
    }

    #[test]
    fn a_document_over_the_size_is_refused() {
        assert!(applied(&plan(&[], 4, 9), "[12]").is_ok());
        assert_eq!(applied(&plan(&[], 4, 9), "[123]"), Err(FilterError::TooLarge { limit: 4 }));
        let mut out = Vec::new();
        assert!(plan(&[], 4, 9).apply_array(b"[[12],[34],5]", &mut out).is_ok());
        assert_eq!(plan(&[], 4, 9).apply_array(b"[[12],[345]]", &mut out), Err(FilterError::TooLarge { limit: 4 }));
        let mut report = Report::default();
        assert_eq!(plan(&[], 4, 9).apply_next(b"[123", &mut out, &mut report), Ok(None));
        assert_eq!(
            plan(&[], 4, 9).apply_next(b"[1234", &mut out, &mut report),
            Err(FilterError::TooLarge { limit: 4 })
        );
        assert_eq!(
            plan(&[], 4, 9).apply_next(b"[123]", &mut out, &mut report),
            Err(FilterError::TooLarge { limit: 4 })
        );
    }

    #[test]
    fn nesting_over_the_depth_is_refused_wherever_it_is() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for texts in [
            &[][..],
            &["remove $[0]"],
            &["blank $[0]"],
            &["redact $[0]"],
            &["blank $..x"],
            &["blank $..[?@==2]"],
            &["remove $..[-7]"],
        ] {
            assert!(applied(&plan(texts, 10_000, 20), &nested(20)).is_ok(), "{texts:?}");
            assert_eq!(
                applied(&plan(texts, 10_000, 20), &nested(21)),
                Err(FilterError::TooDeep { limit: 20 }),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let nested = format!("{{\"a\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        for texts in [&[][..], &["remove $.a"], &["blank $..x"], &["blank $..[?@==2]"]] {
            assert_eq!(applied(&plan(texts, usize::MAX, 128), &nested), Err(FilterError::TooDeep { limit: 128 }));
            assert!(applied(&plan(texts, usize::MAX, usize::MAX), &nested).is_err());
        }
    }

    /// What is leased is enough: `tests/peak` measures that. It must not be much more, or few clients use up all memory.
    #[test]
    fn expressions_need_little_memory() {
        let memory = |text: &str| plan(&[text], 10_000, 20).memory(1_000);
        assert_eq!(memory("remove $.a"), 4_000);
        for text in ["remove $[?match(@.a, 'b')]", "remove $..[?@.a == $.b]", "remove $[?count(@..*) == 1]"] {
            assert_eq!(memory(text), 5_000, "{text}");
        }
    }

    #[test]
    fn expressions_reach_as_deep_as_the_limit_allows() {
        let nested = |value: u8| format!("{}{value}{}", "[".repeat(300), "]".repeat(300));
        for text in ["blank $..[?@==2]", "blank $..[?@==2 && !@..a]"] {
            assert_eq!(applied(&plan(&[text], 10_000, 400), &nested(2)), Ok(nested(0)), "{text}");
            assert_eq!(applied(&plan(&[text], 10_000, 400), &nested(1)), Ok(nested(1)), "{text}");
        }
    }
}

mod arrays_and_streams {
    use super::*;

    #[test]
    fn each_element_is_filtered_as_a_document() {
        let plan = Plan::compile_rules(&rules(&["blank $.a", "remove $[?@.gone]", "redact $.b[?@ == $.c]"])).unwrap();
        let check = |before: &str, after: Result<&str, FilterError>| {
            let mut out = Vec::new();
            let result = plan.apply_array(before.as_bytes(), &mut out);
            assert_eq!(result.map(|_| String::from_utf8(out.clone()).unwrap()), after.map(str::to_owned), "{before}");
            assert!(result.is_ok() || out.is_empty());
        };
        check(
            r#" [ {"a":1} , {"a":2,"b":[3,4],"c":4}, {"b":[4],"c":3} ] "#,
            Ok(r#"[ {"a":0} , {"a":0,"b":[3,"[redacted]"],"c":4}, {"b":[4],"c":3} ] "#),
        );
        check("[]", Ok("[]"));
        check("null", Ok("null"));
        check("{}", Err(FilterError::NotAnArray));
        check("1", Err(FilterError::NotAnArray));
        check("[{}", Err(FilterError::NotJson));
        check(r#"[{"a":1,"a":1}]"#, Err(FilterError::DuplicateKey));
    }

    #[test]
    fn removed_elements_leave_no_gap() {
        let plan = Plan::compile_rules(&rules(&["remove $"])).unwrap();
        let mut out = Vec::new();
        plan.apply_array(b"[1,{},3]", &mut out).unwrap();
        assert_eq!(out, b"[]");
    }

    #[test]
    fn apply_next_takes_only_complete_values() {
        let plan = Plan::compile_rules(&rules(&["blank $.a", "mask $.e[*]"])).unwrap();
        let stream = "\n {\"a\": \"ü\\\"}\", \"e\":[\"K=ü\"]}\n[1,\"\\\\\"]  -12.5e-1 \"x\"\ttrue null {\"a\":[{}]}";
        let whole: Vec<&str> = vec![
            r#"{"a": "", "e":["K=[redacted]"]}"#,
            r#"[1,"\\"]"#,
            "-12.5e-1",
            "\"x\"",
            "true",
            "null",
            r#"{"a":[]}"#,
        ];
        for split in 0..=stream.len() {
            let (mut found, mut buffer, mut report) = (Vec::new(), Vec::new(), Report::default());
            for part in [stream.as_bytes().get(..split).unwrap(), stream.as_bytes().get(split..).unwrap()] {
                buffer.extend_from_slice(part);
                loop {
                    let mut out = b"x".to_vec();
                    let Some(consumed) = plan.apply_next(&buffer, &mut out, &mut report).unwrap() else {
                        assert_eq!(out, b"x");
                        break;
                    };
                    buffer.drain(..consumed);
                    found.push(String::from_utf8(out).unwrap().strip_prefix('x').unwrap().to_owned());
                }
            }
            assert_eq!(found, whole, "split at {split}");
            assert_eq!(report.by_rule, 3);
            assert_eq!(buffer, b"");
        }
    }

    #[test]
    fn a_scalar_at_the_end_of_the_buffer_is_incomplete() {
        let plan = Plan::compile_rules(&[]).unwrap();
        for text in
            ["1", "1.", "[1e", "{\"a\":-", "[1E+", "tru", "true", "\"x\"", "-", "", "  ", "[", "{\"a\"", "\"\u{e9}"]
        {
            assert_eq!(plan.apply_next(text.as_bytes(), &mut Vec::new(), &mut Report::default()), Ok(None), "{text}");
        }
        for bytes in
            [&b"}"[..], b"trux", b"{\"a\":\"\xff\"}", b"[1 2]", b"1x ", b"[1 -", b"x-", b"[1]]-".get(3..).unwrap()]
        {
            assert_eq!(plan.apply_next(bytes, &mut Vec::new(), &mut Report::default()), Err(FilterError::NotJson));
        }
    }
}

mod classes {
    use super::*;

    const SCHEMAS: &str = "schemas:\n  A:\n    - $.Inner[*]: B\n    - $.Map.*: B\n  B:\n";
    const STATE: &str = "class: state\nfields:\n  A: [$.State, '$.Codes[*]', $.Deep.X.Ok, '$.Both', $.Empty, '$.Open..*', '$.Nets.*~', '$.Ports.*~', $.Sets.*.Ok]\n  B: [$.Ok]\n";
    const SECRET: &str = "class: secret\nfields:\n  A: [$.Env, '$.Env[*]', $.Deep.X.Key, '$.Opts.*', '$.Both[*]', '$.Shut..*', '$.Nets.*', '$.Boxes.*.Key', '$.Sets.*.Key', '$.Lists[*].Key', '$.Blind.*~', '$.Blind.*.Ok', '$.Anys[*]..*']\n  B: [$.Key]\n";
    const TEXT: &str = "class: free-text\nfields:\n  A: ['$.Labels.*', '$.Spec.Labels.*~', '$.Spec.Labels.*', '$.Annotations.*', $.Labelled]\n  B: ['$.Labels.*']\n";

    const FIELDS: &str = "A\t$.Env\tstring\t\t\talways\nA\t$.Env[*]\tstring\nA\t$.Deep.X.Ok\tstring\n\
                          A\t$.Deep.X.Key\tnumber\t\t\talways\nA\t$.Both\tstring\nA\t$.Both[*]\tstring\n\
                          A\t$.Open..*\tany\nA\t$.Shut..*\tany\nA\t$.Nets.*\tstring\nA\t$.Opts.*\tstring\n\
                          A\t$.Sets.*.Key\tnumber\t\t\talways\nA\t$.Lists[*].Key\tnumber\n\
                          A\t$.Labelled\tstring\t\t\talways\nA\t$.Labels.*\tstring\nA\t$.Empty\tobject\n\
                          A\t$.Annotations.*\tstring\nB\t$.Key\tnumber\t\t\talways\nB\t$.Ok\tnumber|string\n\
                          A\t$.Deep\t-\t\t\talways\nA\t$.Deep.X\t-\t\t\talways\nA\t$.Codes\t-\t\t\talways\n\
                          A\t$.Opts\t-\t\t\talways\nA\t$.Shut\t-\t\t\talways\nA\t$.Anys\t-\t\t\talways\n\
                          A\t$.Blind\t-\t\t\talways\nA\t$.Boxes\t-\t\t\talways\nA\t$.Sets\t-\t\t\talways\n\
                          A\t$.Labels\t-\t\t\talways\nA\t$.Annotations\t-\t\t\talways\n\
                          A\t$.Spec\t-\t\t\talways\nA\t$.Spec.Labels\t-\t\t\talways\n\
                          A\t$.Lists\t-\t\t\talways\n";

    fn catalogue() -> Catalogue {
        Catalogue::parse_files(CatalogueFiles {
            fields: Some(("f", FIELDS)),
            schemas: ("s", SCHEMAS),
            classes: &[("state", STATE), ("secret", SECRET), ("text", TEXT)],
            lists: Some((&lists::document().unwrap(), &lists::ALL)),
            ..CatalogueFiles::default()
        })
        .unwrap()
    }

    fn show() -> Show {
        Show { classes: ClassSet::EMPTY.with(Class::State), ..Show::default() }
    }

    fn plan(show: &Show, texts: &[&str]) -> Plan {
        Plan::compile(&catalogue(), "A", show, &rules(texts)).unwrap()
    }

    #[track_caller]
    fn check(before: &str, after: &str) {
        assert_eq!(applied(&plan(&show(), &[]), before).as_deref(), Ok(after));
    }

    #[track_caller]
    fn check_with(texts: &[&str], before: &str, after: &str) {
        assert_eq!(applied(&plan(&show(), texts), before).as_deref(), Ok(after), "{texts:?}");
    }

    #[track_caller]
    fn check_unknown(texts: &[&str], before: &str, after: &str) {
        let show = Show { unknown: true, ..show() };
        assert_eq!(applied(&plan(&show, texts), before).as_deref(), Ok(after), "{texts:?}");
    }

    #[test]
    fn shown_fields_are_copied_and_hidden_ones_blanked() {
        check(r#"{"State":1.0e5,"Env":"x"}"#, r#"{"State":1.0e5,"Env":[]}"#);
        check(r#"{"State":null,"Labelled":"x"}"#, r#"{"State":null,"Labelled":""}"#);
        check(r#"{"Deep":{"X":{"Ok":"a\u0041","Key":7}}}"#, r#"{"Deep":{"X":{"Ok":"a\u0041","Key":0}}}"#);
        check(r#"{"State":"ok","Unknown":1,"Other":{"a":[1]}}"#, r#"{"State":"ok"}"#);
    }

    #[test]
    fn hidden_elements_and_map_members_are_removed() {
        check(r#"{"Env":["A=1",null,["x"],{"a":1}]}"#, r#"{"Env":[]}"#);
        check(r#"{"Opts":{"a":"1","b":null,"c":{}}}"#, r#"{"Opts":{}}"#);
        check(r#"{"Codes":[1,"2",null]}"#, r#"{"Codes":[1,"2",null]}"#);
        check(r#"{"Anys":[1,{"a":2},null]}"#, r#"{"Anys":[]}"#);
    }

    #[test]
    fn a_hidden_field_that_is_always_written_has_one_form() {
        for value in ["null", "\"\"", "\"x\"", "[]", "[1,2]", "{}", "{\"a\":[1]}", "0", "true"] {
            check(&format!("{{\"Env\":{value}}}"), r#"{"Env":[]}"#);
            check(&format!("{{\"Opts\":{value}}}"), r#"{"Opts":{}}"#);
            check(&format!("{{\"Shut\":{value}}}"), r#"{"Shut":{}}"#);
            check(&format!("{{\"Labelled\":{value}}}"), r#"{"Labelled":""}"#);
            check(&format!("{{\"Deep\":{{\"X\":{{\"Key\":{value}}}}}}}"), r#"{"Deep":{"X":{"Key":0}}}"#);
        }
    }

    #[test]
    fn a_hidden_field_that_is_sometimes_written_is_left_out() {
        for value in ["null", "\"\"", "\"x\"", "[]", "[1,2]", "{}", "{\"a\":[1]}", "0", "true"] {
            check(&format!("{{\"State\":1,\"Nets\":{value}}}").replace("Nets", "Hidden"), r#"{"State":1}"#);
            check_with(&["blank $.State"], &format!("{{\"State\":{value},\"Codes\":[]}}"), r#"{"Codes":[]}"#);
        }
        check_with(&["blank $.Env"], r#"{"Env":null}"#, r#"{"Env":[]}"#);
    }

    #[test]
    fn an_object_without_known_members_is_empty() {
        check(r#"{"Empty":{"a":1,"b":{"c":2}}}"#, r#"{"Empty":{}}"#);
        check(r#"{"Empty":[1]}"#, "{}");
        check(r#"{"Empty":"x"}"#, "{}");
    }

    #[test]
    fn a_value_of_an_unexpected_shape_is_hidden() {
        check(r#"{"State":{"a":1},"Codes":[]}"#, r#"{"Codes":[]}"#);
        check(r#"{"State":[1]}"#, "{}");
        check(r#"{"Deep":"x"}"#, r#"{"Deep":{"X":{"Key":0}}}"#);
        check(r#"{"Deep":{"X":[{"Ok":1}]}}"#, r#"{"Deep":{"X":{"Key":0}}}"#);
        check(r#"{"Deep":{"X":{"Ok":1}}}"#, r#"{"Deep":{"X":{}}}"#);
        check(r#"{"Deep":null,"Codes":null,"Opts":null}"#, r#"{"Deep":null,"Codes":null,"Opts":{}}"#);
        check(r#"{"Codes":{"a":1}}"#, r#"{"Codes":[]}"#);
        check(r#"{"Codes":[[1],{"a":1}]}"#, r#"{"Codes":[]}"#);
        check(r#"{"Opts":["a"]}"#, r#"{"Opts":{}}"#);
        let blank = r#"{"Annotations":{},"Anys":[],"Blind":{},"Boxes":{},"Codes":[],"Deep":{"X":{"Key":0}},"Env":[],"#;
        let blank = format!(
            "{blank}{}",
            r#""Labelled":"","Labels":{},"Lists":[],"Opts":{},"Sets":{},"Shut":{},"Spec":{"Labels":{}}}"#
        );
        check("[1,2]", &blank);
        check("\"x\"", &blank);
    }

    #[test]
    fn a_field_can_have_one_class_as_text_and_another_as_a_list() {
        check(r#"{"Both":"x"}"#, r#"{"Both":"x"}"#);
        check(r#"{"Both":["x"]}"#, r#"{"Both":[]}"#);
        check(r#"{"Both":{"x":1}}"#, "{}");
    }

    #[test]
    fn opaque_fields_are_copied_or_blanked_as_a_whole() {
        check(r#"{"Open":{"a":[1, {"b":2}]}}"#, r#"{"Open":{"a":[1, {"b":2}]}}"#);
        check(r#"{"Shut":{"a":[1]}}"#, r#"{"Shut":{}}"#);
        check(r#"{"Shut":[1],"Open":null}"#, r#"{"Shut":{},"Open":null}"#);
        check(r#"{"Shut":"x","Open":7}"#, r#"{"Shut":{},"Open":7}"#);
        assert_eq!(applied(&plan(&show(), &[]), r#"{"Open":{"a":1,"a":2}}"#), Err(FilterError::DuplicateKey));
    }

    #[test]
    fn a_duplicate_withholds_a_document_wherever_one_of_the_two_may_be_shown() {
        let show = |labels: &[&str]| Show { names: NamesShown::default().with(lists::LABELS, labels), ..show() };
        let (listed, names) = (show(&["a", "b.*"]), show(&["a", "b.*", "*="]));
        for members in [
            r#""State":1,"State":2"#,
            r#""State":{},"State":2"#,
            r#""St\u0061te":1,"State":2"#,
            r#""Env":1,"Env":2"#,
            r#""Nets":{"x":1,"x":2}"#,
            r#""Nets":{"x":1,"\u0078":2}"#,
            r#""Labels":{"a":"1","a":"2"}"#,
            r#""Labels":{"a":"1","h":"","a":"2"}"#,
            r#""Labels":{"a":["1"],"a":"2"}"#,
            r#""Labels":{"\u0061":"1","a":"2"}"#,
            r#""Labels":{"b.x":"1","b.x":"2"}"#,
            r#""Labels":{"b.x":1,"h":"","b.x":"2"}"#,
            r#""Labels":{"b.x":"1","b.\u0078":"2"}"#,
        ] {
            let document = format!("{{{members}}}");
            for show in [&listed, &names] {
                assert_eq!(applied(&plan(show, &[]), &document), Err(FilterError::DuplicateKey), "{document}");
            }
        }
        // A name that may be shown alone, and values that decide.
        for members in [r#""h":"1","h":"2""#, r#""h":"2","h":"1""#, r#""h":"1","\u0068":"1""#, r#""h":[],"h":"1""#] {
            let document = format!(r#"{{"Labels":{{{members}}}}}"#);
            for (show, rules) in [(&names, &[][..]), (&listed, &["keep $.Labels[?@ == '1']"])] {
                assert_eq!(applied(&plan(show, rules), &document), Err(FilterError::DuplicateKey), "{document}");
            }
        }
    }

    #[test]
    fn nothing_is_left_of_hidden_names_however_often_they_occur() {
        let names = NamesShown::default().with(lists::LABELS, ["a", "b.*"]);
        let plan = plan(&Show { names, ..show() }, &[]);
        let many = r#""h":"1","#.repeat(5_000);
        for (before, after) in [
            (r#"{"Labels":{"h":"1","a":"x","h":"2"}}"#, r#"{"Labels":{"a":"x"}}"#),
            (r#"{"Labels":{"h":"1","\u0068":[],"b.x":"x"}}"#, r#"{"Labels":{"b.x":"x"}}"#),
            (r#"{"Labels":{"A":"1","A":{"a":"1"}}}"#, r#"{"Labels":{}}"#),
            (r#"{"Unknown":{},"State":1,"Unknown":2}"#, r#"{"State":1}"#),
            (&format!(r#"{{"Labels":{{{many}"a":"x"}}}}"#), r#"{"Labels":{"a":"x"}}"#),
        ] {
            assert_eq!(applied(&plan, before).as_deref(), Ok(after), "{before}");
            // Whoever edits the document puts them back.
            assert_eq!(plan.alterations(before.as_bytes()), Err(FilterError::DuplicateKey), "{before}");
        }
        // What is hidden is JSON all the same.
        for hidden in [r#""h""#, r#""h":"#, r#""h":01"#, r#""h":"\x""#, r#""h":[1,]"#, r#""\ud83d":1"#, r#""h":tru"#] {
            let document = format!(r#"{{"Labels":{{"a":"x",{hidden}}}}}"#);
            assert_eq!(applied(&plan, &document), Err(FilterError::NotJson), "{document}");
        }
    }

    #[test]
    fn keys_of_a_map_are_hidden_by_their_class_or_with_their_values() {
        check(r#"{"Nets":{"front":"secret"}}"#, r#"{"Nets":{"front":""}}"#);
        check(r#"{"Nets":{"front":null,"back":[1]}}"#, r#"{"Nets":{"front":"","back":""}}"#);
        check(r#"{"Ports":{"80/tcp":{"x":1}}}"#, r#"{"Ports":{}}"#);
        check(r#"{"Blind":{"key":{"Ok":1}}}"#, r#"{"Blind":{}}"#);
        check(r#"{"Boxes":{"key":{"Key":1}}}"#, r#"{"Boxes":{}}"#);
        check(r#"{"Sets":{"key":{"Key":1,"Ok":2}}}"#, r#"{"Sets":{"key":{"Key":0,"Ok":2}}}"#);
        check(r#"{"Lists":[{"Key":1}]}"#, r#"{"Lists":[]}"#);
    }

    #[test]
    fn nested_schemas_have_their_own_classes_and_rules() {
        let before = r#"{"Inner":[{"Ok":1,"Key":2,"X":3}],"Map":{"a":{"Ok":1,"Key":7}}}"#;
        check(before, r#"{"Inner":[{"Ok":1,"Key":0}],"Map":{"a":{"Ok":1,"Key":0}}}"#);
        check_with(
            &["B: redact $.Key"],
            before,
            r#"{"Inner":[{"Ok":1,"Key":"[redacted]"}],"Map":{"a":{"Ok":1,"Key":"[redacted]"}}}"#,
        );
        check_with(&["B: remove $.Key", "A: keep $.Inner"], before, r#"{"Inner":[{"Ok":1}],"Map":{"a":{"Ok":1}}}"#);
        check_with(
            &["B: keep $.Key", "A: remove $.Inner[*].Key"],
            before,
            r#"{"Inner":[{"Ok":1}],"Map":{"a":{"Ok":1,"Key":7}}}"#,
        );
        let absolute = rules(&["B: blank $[?@ == $.x]"]);
        assert!(matches!(
            Plan::compile(&catalogue(), "A", &show(), &absolute),
            Err(CompileError::AbsoluteInNested { .. })
        ));
        assert!(Plan::compile(&catalogue(), "B", &show(), &absolute).is_ok());
        check_unknown(&["B: remove $.Key"], r#"{"inner":[{"Key":1,"Ok":2}]}"#, r#"{"inner":[{"Ok":2}]}"#);
    }

    #[test]
    fn rules_override_classes() {
        check_with(&["keep $.Env[*]"], r#"{"Env":["A=1"]}"#, r#"{"Env":["A=1"]}"#);
        check_with(&["mask $.Env[*]"], r#"{"Env":["A=1"]}"#, r#"{"Env":["A=[redacted]"]}"#);
        check_with(&["remove $.State"], r#"{"State":1,"Codes":[]}"#, r#"{"Codes":[]}"#);
        check_with(
            &["keep $.Deep", "hash $.none"],
            r#"{"Deep":{"X":{"Key":1},"New":2}}"#,
            r#"{"Deep":{"X":{"Key":1}}}"#,
        );
        check_with(&["keep $.Blind"], r#"{"Blind":{"a":{"Ok":1,"New":2}}}"#, r#"{"Blind":{"a":{"Ok":1}}}"#);
        check_with(&["keep $.New"], r#"{"New":{"a":[1]},"Newer":1}"#, r#"{"New":{"a":[1]}}"#);
        check_unknown(&["keep $.Deep"], r#"{"Deep":{"X":{"Key":1},"New":2}}"#, r#"{"Deep":{"X":{"Key":1},"New":2}}"#);
        check_with(&["keep $.Env[0]"], r#"{"Env":["A=1","B=2"]}"#, r#"{"Env":["A=1"]}"#);
        check_with(&["keep $.Opts.a"], r#"{"Opts":{"a":"1","b":"2"}}"#, r#"{"Opts":{"a":"1"}}"#);
        check_with(&["keep $.Shut.a"], r#"{"Shut":{"a":[1],"b":2}}"#, r#"{"Shut":{"a":[1]}}"#);
        check_with(&["keep $.Shut.a"], r#"{"Shut":[1],"Env":["x"]}"#, r#"{"Shut":{},"Env":[]}"#);
        check_with(&["keep $.State.a"], r#"{"State":{"a":1,"b":2}}"#, r#"{"State":{"a":1}}"#);
    }

    #[test]
    fn an_unknown_field_is_shown_only_as_far_as_a_rule_keeps_it() {
        check_with(&["keep $.New.a"], r#"{"New":{"a":1,"b":2}}"#, r#"{"New":{"a":1}}"#);
        check_with(&["keep $.New.a"], r#"{"New":{"b":2}}"#, "{}");
        check_with(&["keep $.New[*].a"], r#"{"New":[{"b":1},{"a":1},{}]}"#, r#"{"New":[{"a":1}]}"#);
        check_with(&["mask $.New.a"], r#"{"New":{"a":"K=v","b":2}}"#, r#"{"New":{"a":"K=[redacted]"}}"#);
        check_with(&["remove $.New.a"], r#"{"New":{"a":1}}"#, "{}");
        check_with(
            &["keep $..deep"],
            r#"{"New":{"x":[{"deep":1},2]},"Old":{"y":{}}}"#,
            r#"{"New":{"x":[{"deep":1}]}}"#,
        );
        check_with(&["keep $.New.a", "remove $.New.a.b"], r#"{"New":{"a":{"b":1,"c":2}}}"#, r#"{"New":{"a":{"c":2}}}"#);
        check_with(&["keep $.New"], r#"{"new":1,"New":2}"#, r#"{"New":2}"#);
        check_with(&["redact $.New"], r#"{"new":1,"New":2}"#, r#"{"New":"[redacted]"}"#);
        check_with(&["redact $.Deep.New"], r#"{"deep":{"New":1},"Deep":{"new":1}}"#, r#"{"Deep":{}}"#);
        check_with(
            &["keep $.Boxes.*.Key"],
            r#"{"Boxes":{"a":{"Key":1,"x":2},"b":{"y":3}}}"#,
            r#"{"Boxes":{"a":{"Key":1}}}"#,
        );
        check_with(&["keep $.Blind['a']"], r#"{"Blind":{"a":{"Ok":1},"b":{"Ok":2}}}"#, r#"{"Blind":{"a":{"Ok":1}}}"#);
        check_with(&["keep $.New[?@.a==1]"], r#"{"New":[{"a":1},{"a":2}],"Old":[]}"#, r#"{"New":[{"a":1}]}"#);
    }

    #[test]
    fn another_spelling_of_a_known_name_is_unknown() {
        check(r#"{"state":1,"STATE":2,"\u0053tate":3}"#, r#"{"\u0053tate":3}"#);
        check_unknown(&[], r#"{"env":"x","ENV":["y"],"state":1}"#, r#"{"env":[],"ENV":[],"state":1}"#);
        check_unknown(&["keep $.env"], r#"{"env":"x","ENV":"y"}"#, r#"{"env":"x","ENV":[]}"#);
        check_unknown(&["blank $.env.x"], r#"{"env":"x"}"#, r#"{"env":[]}"#);
    }

    #[test]
    fn unknown_members_are_shown_if_the_profile_says_so() {
        check_unknown(
            &[],
            r#"{"New":{"a":[1, 2]},"Env":"x","Deep":{"Y":1,"X":{"Key":1}}}"#,
            r#"{"New":{"a":[1, 2]},"Env":[],"Deep":{"Y":1,"X":{"Key":0}}}"#,
        );
        check_unknown(&["remove $..a"], r#"{"New":{"a":[1],"b":2}}"#, r#"{"New":{"b":2}}"#);
        check_unknown(&[], r#"{"State":{"a":1},"Shut":{"a":1}}"#, r#"{"Shut":{}}"#);
    }

    #[test]
    fn allow_lists_show_labels_and_variables_by_name() {
        let names = NamesShown::default()
            .with(lists::LABELS, ["com.docker.compose.*", "x=y"])
            .with(lists::ENV, ["TZ", "LC_*"])
            .with(lists::ANNOTATIONS, ["a*"]);
        let show = Show { names, ..show() };
        let check = |texts: &[&str], before: &str, after: &str| {
            assert_eq!(applied(&plan(&show, texts), before).as_deref(), Ok(after));
        };
        check(
            &[],
            r#"{"Labels":{"com.docker.compose.project":"p","secret":"s"}}"#,
            r#"{"Labels":{"com.docker.compose.project":"p"}}"#,
        );
        check(&[], r#"{"Labels":{"COM.docker.compose.project":"p"}}"#, r#"{"Labels":{}}"#);
        check(
            &[],
            r#"{"Labels":{"com.docker.compose.\u0070":"p","com.docker.compose.x":{"a":1},"com.docker.compose.y":null}}"#,
            r#"{"Labels":{"com.docker.compose.\u0070":"p","com.docker.compose.y":null}}"#,
        );
        check(&[], r#"{"Spec":{"Labels":{"x=y":"1","x":"2"}}}"#, r#"{"Spec":{"Labels":{"x=y":"1"}}}"#);
        check(&[], r#"{"Annotations":{"abc":"1","b":"2"}}"#, r#"{"Annotations":{"abc":"1"}}"#);
        check(&[], r#"{"Inner":[{"Labels":{"x=y":"1","x":"2"}}]}"#, r#"{"Inner":[{"Labels":{"x=y":"1"}}]}"#);
        check(&[], r#"{"Labelled":"x=y","Opts":{"x=y":"1"}}"#, r#"{"Labelled":"","Opts":{}}"#);
        check(
            &[],
            r#"{"Env":["TZ=UTC","TZX=1","tz=1","LC_ALL=C","TZ","\u0054Z=2",null,["TZ=1"],7]}"#,
            r#"{"Env":["TZ=UTC","LC_ALL=C","TZ","\u0054Z=2"]}"#,
        );
        check(&["mask $.Env[*]"], r#"{"Env":["TZ=UTC","B=1"]}"#, r#"{"Env":["TZ=[redacted]","B=[redacted]"]}"#);
        check(
            &["remove $.Labels['x=y']", "keep $.Labels.z"],
            r#"{"Labels":{"x=y":"1","z":"2","com.docker.compose.a":"3"}}"#,
            r#"{"Labels":{"z":"2","com.docker.compose.a":"3"}}"#,
        );
        check(&["blank $.Labels['x=y'].none"], r#"{"Labels":{"x=y":"1","X=Y":"2"}}"#, r#"{"Labels":{"x=y":"1"}}"#);
    }

    #[test]
    fn a_profile_that_shows_everything_changes_nothing() {
        let show = Show { classes: ClassSet::ALL, unknown: true, ..Show::default() };
        let text = r#"{"Env":["a"],"New":[1],"Labels":{"a":"b"},"Nets":{"x":"y"},"Inner":[{"Key":1}]}"#;
        assert_eq!(applied(&plan(&show, &[]), text).as_deref(), Ok(text));
    }

    /// What such a plan is for passes unfiltered. So it must not hide one field that it explains, nor fields without a schema.
    #[test]
    fn only_a_plan_that_hides_nothing_copies_everything() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let all = Show { classes: ClassSet::ALL, unknown: true, ..Show::default() };
        let names = NamesShown::default().with(lists::LABELS, ["*", "!a"]);
        let mut weaker = vec![Show { unknown: false, ..all.clone() }, Show { mask: true, ..all.clone() }];
        weaker.push(Show { names, ..all.clone() });
        weaker.extend(Class::ALL.map(|class| {
            let classes = Class::ALL.into_iter().filter(|other| *other != class).collect();
            Show { classes, ..all.clone() }
        }));
        let mut hiding = 0;
        for schema in catalogue.schemas().map(Schema::name) {
            assert!(Plan::compile(&catalogue, schema, &all, &[]).unwrap().copies_everything(), "{schema}");
            for show in &weaker {
                let plan = Plan::compile(&catalogue, schema, show, &[]).unwrap();
                let explained = Plan::explain(&catalogue, schema, show, &[]).unwrap();
                let is_whole = show.unknown && explained.iter().all(|field| field.treatment.is_whole());
                assert!(is_whole || !plan.copies_everything(), "{schema} {show:?}");
                hiding += usize::from(!is_whole);
            }
        }
        assert!(hiding > 100, "{hiding}");
    }

    /// Whatever a rule hides, and however it names that: an entry of a map, an element, something in an opaque field, or a member that
    /// no schema knows.
    #[test]
    fn no_plan_with_a_rule_that_hides_copies_everything() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let all = Show { classes: ClassSet::ALL, unknown: true, ..Show::default() };
        let mut tried = 0;
        for schema in catalogue.schemas().map(Schema::name) {
            let mut paths = std::collections::BTreeSet::new();
            for line in Plan::explain(&catalogue, schema, &all, &[]).unwrap() {
                let path =
                    line.path.trim_end_matches('~').replace("..*", ".*").replace(".*", "['k']").replace("[*]", "[2]");
                // A dot in quotes separates nothing.
                let parent = path.rsplit_once(['.', '[']).map(|(parent, _)| parent);
                let parent = parent.filter(|parent| parent.parse::<Selector>().is_ok()).unwrap_or("$");
                let is_object = path != "$" && !path.ends_with("[2]");
                paths.extend([
                    (format!("{parent}.Unheard"), is_object),
                    (format!("{path}.Unheard"), false),
                    (path, true),
                ]);
            }
            // In the others, the rule hides a member where the schema has no object. One that is there is hidden anyway.
            for (path, is_in_schema) in &paths {
                let rule = Rule { on: schema.to_owned(), ..rule(&format!("remove {path}")) };
                let plan = Plan::compile(&catalogue, schema, &all, &[rule]).unwrap();
                assert!(!plan.copies_everything(), "{schema} {path}");
                assert!(!is_in_schema || !plan.shows_whole(&catalogue, schema, &[]), "{schema} {path}");
                tried += 1;
            }
        }
        assert!(tried > 3_000, "{tried}");
    }

    /// What is said of a map holds for each of its entries, also for those that only a rule names.
    #[test]
    fn a_map_is_not_explained_as_shown_where_a_rule_hides_an_entry() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let show = Show { classes: ClassSet::ALL, ..Show::default() };
        let mut tried = 0;
        for schema in catalogue.schemas().map(Schema::name) {
            let lines = Plan::explain(&catalogue, schema, &show, &[]).unwrap();
            let in_maps = lines.iter().map(|line| line.path.as_str()).filter(|path| !path.ends_with(['~', '*']));
            for path in in_maps.filter(|path| path.contains(".*") && !path.contains("..*")) {
                let rule = Rule { on: schema.to_owned(), ..rule(&format!("remove {}", path.replace(".*", "['k']"))) };
                let explained = Plan::explain(&catalogue, schema, &show, &[rule]).unwrap();
                let line = explained.iter().find(|line| line.path == path).unwrap();
                assert_eq!(line.treatment, Treatment::AllButNamed, "{schema} {path}");
                tried += 1;
            }
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn an_unknown_schema_is_an_error() {
        let result = Plan::compile(&catalogue(), "Z", &show(), &[]);
        assert_eq!(result.err(), Some(CompileError::UnknownSchema { name: "Z".to_owned() }));
    }

    #[test]
    fn the_report_counts_hidden_fields_by_class() {
        let plan = plan(&show(), &["mask $.Env[0]"]);
        let before = r#"{"State":1,"Env":["A=1","B=2","C=3"],"Opts":{"a":"1"},"Labelled":"x","New":{"a":1}}"#;
        let report = plan.apply(before.as_bytes(), &mut Vec::new()).unwrap();
        assert_eq!(report.by_class, [3, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!((report.unknown, report.by_rule, report.hidden()), (1, 1, 6));
    }

    #[test]
    fn explain_names_the_line_that_decided() {
        let names = NamesShown::default().with(lists::LABELS, ["x"]).with(lists::ENV, ["TZ"]);
        let show = Show { names, ..show() };
        let rules = rules(&["mask $.Env[*]", "keep $.Deep", "blank $.Deep.X.Ok", "B: keep $.Key"]);
        let explained = Plan::explain(&catalogue(), "A", &show, &rules).unwrap();
        let lines: Vec<String> = explained
            .iter()
            .map(|line| {
                let class = line.class.map_or("-", Class::as_str);
                format!("{} {class} {} ({})", line.path, line.treatment, line.location.as_ref().unwrap())
            })
            .collect();
        let expected = [
            "$.Deep.X.Key secret rule: keep (keep $.Deep)",
            "$.Deep.X.Ok state rule: blank (blank $.Deep.X.Ok)",
            "$.Env secret hidden: blank (secret:3:7)",
            "$.Env[*] secret rule: mask (mask $.Env[*])",
            "$.Labels.* free-text labels in the allow-list are shown (text:3:7)",
            "$.State state shown (state:3:7)",
            "$.Shut..* secret hidden: blank (secret:3:58)",
            "$.Opts.* secret hidden: removed (secret:3:43)",
            "$.Blind.*~ secret hidden: removed (secret:3:1)",
            "$.Nets.*~ state shown (state:3:1)",
            "$.Env[*] - rule: mask (mask $.Env[*])",
            "$.Inner[*].Key secret rule: keep (keep $.Key)",
            "$.Map.*.Ok state shown (state:4:7)",
            "B: $.Key - rule: keep (keep $.Key)",
        ];
        let without_column = |line: &str| line.rsplit_once(':').map_or(line.to_owned(), |(start, _)| start.to_owned());
        for line in expected {
            let found = lines.iter().any(|found| without_column(found) == without_column(line));
            assert!(found, "{line} in {lines:#?}");
        }
        for leaf in catalogue().schema("A").unwrap().leaves() {
            assert!(
                lines.iter().any(|line| line.starts_with(&format!("{} {} ", leaf.path, leaf.class))),
                "{}",
                leaf.path
            );
        }
    }
}

mod built_in {
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::Field;

    fn texts(node: &yaml::Node, name: &str) -> Vec<String> {
        let entries = node.mapping("a profile").unwrap();
        let Some((_, found)) = entries.iter().find(|(key, _)| key.name == name) else { return Vec::new() };
        found.list("names").unwrap().iter().map(|item| item.text("a name").unwrap().to_owned()).collect()
    }

    /// What the built-in profile `dashboard` shows, and its rules.
    fn dashboard(catalogue: &Catalogue) -> (Show, Vec<Rule>) {
        let node = yaml::parse("dashboard.yaml", include_str!("../../filters/profile/dashboard.yaml")).unwrap();
        let show = Show {
            classes: texts(&node, "show").iter().map(|name| name.parse::<Class>().unwrap()).collect(),
            unknown: false,
            names: lists::ALL
                .into_iter()
                .fold(NamesShown::default(), |names, list| names.with(list, texts(&node, list.key()))),
            mask: true,
        };
        let entries = node.mapping("a profile").unwrap();
        let rules = entries.iter().find(|(key, _)| key.name == "rules");
        let rules = rules.map(|(_, rules)| parse_rules(rules, |name| catalogue.schema(name).is_some()).unwrap());
        (show, rules.unwrap_or_default())
    }

    /// Documents with `inside` in every place of the catalogue that holds the entries of a list, each with its schema.
    fn with_entries(catalogue: &Catalogue, list: crate::schema::NameList, inside: &Value) -> Vec<(String, Value)> {
        /// Puts what is inside a field into its document.
        type Wrap<'w> = &'w dyn Fn(Value) -> Value;
        type Visit<'v> = &'v mut dyn FnMut(&Field, Wrap<'_>);
        fn walk<'c>(
            catalogue: &'c Catalogue,
            field: &'c Field,
            nested: &mut Vec<&'c str>,
            visit: Visit<'_>,
            wrap: Wrap<'_>,
        ) {
            if let Some(name) = field.nested.as_deref() {
                if !nested.contains(&name) {
                    nested.push(name);
                    walk(catalogue, catalogue.schema(name).unwrap().root(), nested, visit, wrap);
                    nested.pop();
                }
                return;
            }
            visit(field, wrap);
            for (step, below) in field.children() {
                let around = |value: Value| match &step {
                    crate::schema::Step::Member(name) => wrap(json!({name: value})),
                    crate::schema::Step::AnyMember => wrap(json!({"any": value})),
                    crate::schema::Step::Elements => wrap(json!([value])),
                };
                walk(catalogue, below, nested, visit, &around);
            }
        }
        let mut found = Vec::new();
        for schema in catalogue.schemas() {
            let mut visit = |field: &Field, wrap: Wrap<'_>| {
                let holds_entries = field.any_member.as_deref().or(field.elements.as_deref());
                if field.list == Some(list) && holds_entries.is_some_and(|entries| entries.class.is_some()) {
                    let texts = || inside.as_object().unwrap().iter();
                    let listed =
                        texts().map(|(name, value)| json!(format!("{name}={}", value.as_str().unwrap()))).collect();
                    found.push((
                        schema.name().to_owned(),
                        wrap(if field.any_member.is_some() { inside.clone() } else { listed }),
                    ));
                }
            };
            walk(catalogue, schema.root(), &mut Vec::new(), &mut visit, &|value| value);
        }
        found
    }

    #[test]
    fn what_is_excluded_is_hidden_in_every_schema_whatever_shows_the_rest() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let entries = json!({"a.x": "seen", "a.secret": "canary", "A.Secret": "canary"});
        let mut places = 0;
        for list in lists::ALL {
            for (schema, document) in with_entries(&catalogue, list, &entries) {
                places += 1;
                let names = NamesShown::default().with(list, ["a.*", "A.*", "!a.secret"]);
                for (classes, kept) in
                    [(ClassSet::EMPTY, None), (ClassSet::ALL, None), (ClassSet::EMPTY, Some("keep $.*"))]
                {
                    let show = Show { classes, unknown: true, names: names.clone(), mask: false };
                    let rules: Vec<Rule> =
                        kept.map(|text| Rule { on: schema.clone(), ..rule(text) }).into_iter().collect();
                    let plan = Plan::compile(&catalogue, &schema, &show, &rules).unwrap();
                    let left = applied(&plan, &document.to_string()).unwrap();
                    assert!(!left.contains("canary"), "{schema} {document}: {left}");
                    let is_shown = left.contains("seen") || schema == "Event";
                    assert!(is_shown || classes == ClassSet::EMPTY, "{schema} {document}: {left}");
                }
            }
        }
        assert!(places > 60, "{places}");
    }

    #[test]
    fn a_name_that_is_shown_alone_says_nothing_of_its_value() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let entries = json!({"a.x": "canary", "a.secret": "canary", "a. canary": "1", "b": "canary"});
        let names = NamesShown::default().with(lists::LABELS, ["a.*=", "!a.secret"]);
        let show = Show { names, unknown: false, classes: ClassSet::EMPTY, mask: true };
        let mut places = 0;
        for (schema, document) in with_entries(&catalogue, lists::LABELS, &entries) {
            let plan = Plan::compile(&catalogue, &schema, &show, &[]).unwrap();
            let document = document.to_string();
            let left = applied(&plan, &document).unwrap();
            // Entries of a list are hidden with their names.
            let is_map = document.contains("\"a.x\":");
            assert_eq!(left.contains("\"a.x\":\"[redacted]\""), is_map, "{schema} {document}: {left}");
            assert!(!left.contains("canary") && !left.contains("secret") && !left.contains("\"b\""), "{left}");
            for other in ["\"\"", "null", "7", "true", "[\"canary\"]", "{\"a.x\":\"canary\"}"] {
                let changed = document.replace("\"canary\"", other);
                assert_eq!(applied(&plan, &changed).unwrap(), left, "{schema} {changed}");
            }
            places += usize::from(is_map);
        }
        assert!(places > 15, "{places}");
        // A rule has the last word.
        for (text, expected) in [("blank $.Labels['a.x']", "{}"), ("keep $.Labels['a.x']", r#"{"Labels":{"a.x":"v"}}"#)]
        {
            let rule = Rule { on: "Volume".to_owned(), ..rule(text) };
            let plan = Plan::compile(&catalogue, "Volume", &show, &[rule]).unwrap();
            let left = applied(&plan, r#"{"Labels":{"a.x":"v","b":"v"}}"#).unwrap();
            assert_eq!(left.contains("a.x"), expected.contains("a.x"), "{text}: {left}");
            assert!(!left.contains("[redacted]"), "{text}: {left}");
        }
    }

    /// The same names in every list.
    fn every_list<const N: usize>(names: [&str; N]) -> NamesShown {
        lists::ALL.into_iter().fold(NamesShown::default(), |shown, list| shown.with(list, names))
    }

    /// The maps of a schema that hold secrets or free text under any key, each as the steps that lead there.
    fn maps(catalogue: &Catalogue, field: &Field, way: &mut Vec<Option<String>>, found: &mut Vec<Vec<Option<String>>>) {
        if let Some(nested) = &field.nested {
            return maps(catalogue, catalogue.schema(nested).unwrap().root(), way, found);
        }
        let class = field.any_member.as_ref().and_then(|any| any.class.as_ref()).map(|(class, _)| *class);
        if matches!(class, Some(Class::Secret | Class::FreeText)) {
            found.push(way.clone());
        }
        let members = field.members.iter().map(|(name, below)| (Some(name.clone()), below));
        let others = field.any_member.iter().map(|below| (Some("x".to_owned()), &**below));
        let elements = field.elements.iter().map(|below| (None, &**below));
        for (step, below) in members.chain(others).chain(elements) {
            way.push(step);
            maps(catalogue, below, way, found);
            way.pop();
        }
    }

    /// Maps that belong to no list: contexts of storage plugins, and attributes of events.
    const NO_LIST: [&str; 3] = ["VolumeContext", "PublishContext", "Attributes"];

    #[test]
    fn allow_lists_apply_to_every_map_of_their_list() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let classes =
            Class::ALL.into_iter().filter(|class| !matches!(class, Class::Secret | Class::FreeText)).collect();
        let show = Show { classes, names: every_list(["shown.*"]), ..Show::default() };
        let mut places = 0;
        for schema in catalogue.schemas() {
            let mut found = Vec::new();
            maps(&catalogue, schema.root(), &mut Vec::new(), &mut found);
            let plan = Plan::compile(&catalogue, schema.name(), &show, &[]).unwrap();
            for way in found {
                let map = json!({"shown.a": "yes", "other": "hidden"});
                let document = way.iter().rev().fold(map, |below, step| match step {
                    Some(name) => json!({ name.as_str(): below }),
                    None => json!([below]),
                });
                let mut out = Vec::new();
                plan.apply(document.to_string().as_bytes(), &mut out).unwrap();
                let out = String::from_utf8(out).unwrap();
                let last = way.iter().rev().find_map(Option::as_deref).unwrap_or_default();
                let listed = !NO_LIST.contains(&last);
                assert!(!out.contains("hidden") && out.contains("yes") == listed, "{} {way:?}: {out}", schema.name());
                places += usize::from(listed);
            }
        }
        assert!(places > 60, "{places}");
    }

    /// Checks a document under a profile that shows labels, variables and command lines, with masking and without.
    #[track_caller]
    fn check_masked(schema: &str, before: &Value, masked: &Value, plain: &Value) {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        // Names without a star are found another way.
        let whole = every_list(["*", "a", "db.password"]);
        let exact = every_list(["a", "b", "db.password", "URL", "TZ"]);
        for (mask, after, names) in [(true, masked, &whole), (true, masked, &exact), (false, plain, &whole)] {
            let classes = ClassSet::EMPTY.with(Class::Command).with(Class::State);
            let show = Show { classes, names: names.clone(), mask, ..Show::default() };
            let plan = Plan::compile(&catalogue, schema, &show, &[]).unwrap();
            let mut out = Vec::new();
            let report = plan.apply(before.to_string().as_bytes(), &mut out).unwrap();
            assert_eq!(&serde_json::from_slice::<Value>(&out).unwrap(), after, "{schema} {mask}");
            assert_eq!(report.hidden() > 0, mask, "{schema}");
        }
    }

    #[test]
    fn credentials_are_masked_in_labels_variables_and_commands() {
        let label = json!({"Labels": {"a": "x:$apr1$H6uskkkW$IgXLP6ewTr", "b": "\"plain\" \u{e9}"}});
        let masked = json!({"Labels": {"a": "x:[redacted]", "b": "\"plain\" \u{e9}"}});
        check_masked("ContainerConfig", &label, &masked, &label);
        check_masked("Volume", &label, &masked, &label);
        let env = json!({"Env": ["URL=http://u:p@db", "TZ=UTC"], "Cmd": ["--token=abc", "--quiet"], "Tty": true});
        let masked = json!({"Env": ["URL=http://u:[redacted]@db", "TZ=UTC"], "Cmd": ["--token=[redacted]", "--quiet"], "Tty": true});
        check_masked("ContainerConfig", &env, &masked, &env);
        let named = json!({"Labels": {"a": "plain", "db.password": "plain"}});
        let masked = json!({"Labels": {"a": "plain", "db.password": "[redacted]"}});
        check_masked("ContainerConfig", &named, &masked, &named);
        let step = json!([{"CreatedBy": "RUN PASSWORD=abc make"}])[0].clone();
        check_masked("ImageHistory", &step, &json!({"CreatedBy": "RUN PASSWORD=[redacted] make"}), &step);
    }

    #[test]
    fn allow_lists_apply_to_texts_with_an_equals_sign() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let show = Show { names: every_list(["shown.*"]), ..Show::default() };
        for (schema, before, after) in [
            ("SystemInfo", json!({"Labels": ["shown.a=1", "other=2"]}), json!({"Labels": ["shown.a=1"]})),
            ("ContainerConfig", json!({"Env": ["shown.a=1", "other=shown.b"]}), json!({"Env": ["shown.a=1"]})),
            ("PluginSpec", json!({"env": ["shown.a=1", "x=2"]}), json!({"env": ["shown.a=1"]})),
            ("Plugin", json!({"Settings": {"Env": ["shown.a=1", "x=2"]}}), json!({"Settings": {"Env": ["shown.a=1"]}})),
        ] {
            let mut out = Vec::new();
            let plan = Plan::compile(&catalogue, schema, &show, &[]).unwrap();
            plan.apply(before.to_string().as_bytes(), &mut out).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), after, "{schema}");
        }
    }

    #[test]
    fn every_schema_compiles() {
        let catalogue = crate::api::catalogue::built_in().unwrap();
        let (show, rules) = dashboard(&catalogue);
        for schema in catalogue.schemas() {
            Plan::compile(&catalogue, schema.name(), &show, &rules).unwrap();
            let explained = Plan::explain(&catalogue, schema.name(), &show, &rules).unwrap();
            for leaf in schema.leaves() {
                assert!(explained.iter().any(|line| line.path == leaf.path), "{}: {}", schema.name(), leaf.path);
            }
        }
    }
}
