//! Which objects a profile shows: what an operator writes under `containers`, `images` and so on.

use std::collections::BTreeMap;
use std::fmt;

use crate::api::familiar;
use crate::api::objects::ObjectKind;
use crate::filter::Glob;
use crate::quoting;
use crate::yaml::{Diagnostics, Members, Node, unknown};

/// The label by which Docker Compose marks what belongs to a project.
pub const PROJECT: &str = "com.docker.compose.project";

/// What selectors look at in an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its names, without a slash before them; of an image its references.
    pub names: Vec<String>,
    /// The image that a container was made of, as its maker wrote it.
    pub image: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Objects of a kind, by what must hold for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSelector(Vec<Criterion>);

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Criterion {
    /// One of the names matches.
    Name(Glob),
    /// One of the references of an image matches.
    Reference(Glob),
    /// The image of a container matches.
    Image(Glob),
    /// A label matches by its key and, if there is one, its value.
    Label(Glob, Option<Glob>),
}

impl Criterion {
    /// Reads `key: text`. `None` if objects of the kind have no such key.
    fn read(kind: ObjectKind, key: &str, text: &str) -> Option<Self> {
        if !keys(kind).contains(&key) {
            return None;
        }
        Some(match key {
            "name" => Self::Name(Glob::new(text)),
            "reference" => Self::Reference(reference(text)),
            "image" => Self::Image(reference(text)),
            "project" => Self::Label(Glob::new(PROJECT), Some(Glob::new(text))),
            _ => match text.split_once('=') {
                Some((key, value)) => Self::Label(Glob::new(key), Some(Glob::new(value))),
                None => Self::Label(Glob::new(text), None),
            },
        })
    }

    fn holds(&self, facts: &Facts) -> bool {
        match self {
            Self::Name(glob) => facts.names.iter().any(|name| glob.matches(name)),
            Self::Reference(glob) => facts.names.iter().any(|name| glob.matches(familiar(name))),
            Self::Image(glob) => facts.image.as_ref().is_some_and(|image| glob.matches(familiar(image))),
            Self::Label(key, value) => facts
                .labels
                .iter()
                .any(|(name, text)| key.matches(name) && value.as_ref().is_none_or(|value| value.matches(text))),
        }
    }
}

/// The pattern of a reference. Without a tag it stands for `latest`, unless it ends with a star.
fn reference(text: &str) -> Glob {
    let written = familiar(text);
    Glob::new(if text.ends_with('*') { written.trim_end_matches(":latest") } else { &written })
}

/// The keys by which objects of a kind can be selected.
const fn keys(kind: ObjectKind) -> &'static [&'static str] {
    match kind {
        ObjectKind::Container => &["project", "label", "name", "image"],
        ObjectKind::Image => &["reference", "label"],
        ObjectKind::Volume | ObjectKind::Network => &["project", "label", "name"],
        ObjectKind::Service => &["label", "name"],
    }
}

impl ObjectSelector {
    /// Reads a mapping with one key or more, all of which must hold.
    pub fn read(kind: ObjectKind, node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let what = format!("a mapping with one of {}", keys(kind).join(", "));
        let mut conditions = Vec::new();
        let entries = diagnostics.ok(node.mapping(&what))?;
        for (key, value) in entries {
            let Some(text) = diagnostics.ok(value.text("a text")) else { continue };
            match Criterion::read(kind, &key.name, text) {
                Some(_) if text.is_empty() => {
                    diagnostics.push(value.diagnostic("found an empty text, expected a pattern"))
                }
                Some(condition) => conditions.push(condition),
                None => diagnostics.report(&key.location, unknown("key", &key.name, keys(kind).iter().copied())),
            }
        }
        if entries.is_empty() {
            diagnostics.push(node.expected(&what));
        }
        Some(Self(conditions)).filter(|selector| !selector.0.is_empty())
    }

    /// Reads `key=text`, as in a variable or an argument.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(kind: ObjectKind, text: &str) -> Result<Self, String> {
        let expected = || {
            let (found, keys) = (quoting::value(text), keys(kind).join(", "));
            format!("found {found:?}, expected one of {keys}, then `=` and a pattern")
        };
        let (key, pattern) = text.split_once('=').filter(|(_, pattern)| !pattern.is_empty()).ok_or_else(expected)?;
        match Criterion::read(kind, key, pattern) {
            Some(condition) => Ok(Self(vec![condition])),
            None => {
                // An equals sign may be within a password.
                let key = if quoting::holds_secret(text) { quoting::HIDDEN } else { key };
                Err(unknown("key", key, keys(kind).iter().copied()))
            }
        }
    }

    /// Whether an object is one of those.
    pub fn matches(&self, facts: &Facts) -> bool {
        self.0.iter().all(|condition| condition.holds(facts))
    }

    /// Whether it looks at names, which can change.
    fn reads_names(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Criterion::Name(_) | Criterion::Reference(_)))
    }

    /// Whether it looks at the image of a container.
    fn reads_images(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Criterion::Image(_)))
    }

    /// Whether it looks at a label, if one is called `name`; without a name, whether it looks at any.
    fn reads_label(&self, name: Option<&str>) -> bool {
        self.0.iter().any(|condition| match condition {
            Criterion::Label(key, _) => name.is_none_or(|name| key.matches(name)),
            Criterion::Name(_) | Criterion::Reference(_) | Criterion::Image(_) => false,
        })
    }
}

impl ObjectSelector {
    /// The labels that an object of these has, as the engine's filters name them, and no other object. `None` if labels alone do
    /// not say which objects these are, or if some engine reads a pattern in one.
    fn labels(&self) -> Option<Vec<String>> {
        let is_plain = |text: &str| !text.contains(['*', '?', '[', ']', '\\']);
        let label = |criterion: &Criterion| {
            let Criterion::Label(key, value) = criterion else { return None };
            let label = match value {
                Some(value) => format!("{}={}", key.only_match()?, value.only_match()?),
                None => key.only_match()?.to_owned(),
            };
            Some(label).filter(|label| is_plain(label))
        };
        self.0.iter().map(label).collect()
    }
}

impl fmt::Display for ObjectSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, condition) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { " and " })?;
            match condition {
                Criterion::Name(glob) => write!(f, "name={glob}"),
                Criterion::Reference(glob) => write!(f, "reference={glob}"),
                Criterion::Image(glob) => write!(f, "image={glob}"),
                Criterion::Label(key, Some(value)) if key.matches(PROJECT) => write!(f, "project={value}"),
                Criterion::Label(key, Some(value)) => write!(f, "label={key}={value}"),
                Criterion::Label(key, None) => write!(f, "label={key}"),
            }?;
        }
        Ok(())
    }
}

/// Labels by which the engine's filters select objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFilters {
    /// What an object must have, all of it.
    pub with: Vec<String>,
    /// What it must not have.
    pub without: Option<String>,
}

/// Which objects of a kind are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    only: Only,
    never: Vec<ObjectSelector>,
}

/// The value of `only`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Only {
    /// The key is not there.
    #[default]
    All,
    /// What the containers use that the client sees.
    Used,
    /// What one of these selects.
    Selected(Vec<ObjectSelector>),
}

impl Restriction {
    /// Reads `only` and `never`. Reports every error.
    pub fn read(kind: ObjectKind, node: &Node, diagnostics: &mut Diagnostics) -> Option<Self> {
        let members = diagnostics.members(node, "`only` and `never`", &["only", "never"])?;
        let mut list = |members: Members<'_>, key: &str| -> Option<Vec<ObjectSelector>> {
            let node = members.get_or_empty(key)?;
            let items = diagnostics.ok(node.list(&format!("a list of {kind}"))).unwrap_or_default();
            Some(items.iter().filter_map(|item| ObjectSelector::read(kind, item, diagnostics)).collect())
        };
        let is_used = members.get("only").is_some_and(|node| matches!(node.text(""), Ok("used")));
        let can_be_used = matches!(kind, ObjectKind::Image | ObjectKind::Volume | ObjectKind::Network);
        let only =
            if is_used && can_be_used { Only::Used } else { list(members, "only").map_or(Only::All, Only::Selected) };
        let never = list(members, "never").unwrap_or_default();
        if only == Only::All && never.is_empty() {
            diagnostics.push(node.diagnostic("found neither `only` nor `never`, expected one of them"));
        }
        Some(Self { only, never })
    }

    /// Shows only what one of the first selects, and none of what one of the others does.
    pub fn selected(only: Vec<ObjectSelector>, never: Vec<ObjectSelector>) -> Self {
        Self { only: if only.is_empty() { Only::All } else { Only::Selected(only) }, never }
    }

    /// Whether an object is shown. `is_used` says whether a container uses it that is shown.
    pub fn shows(&self, facts: &Facts, is_used: bool) -> bool {
        let is_selected = match &self.only {
            Only::All => true,
            Only::Used => is_used,
            Only::Selected(selectors) => selectors.iter().any(|selector| selector.matches(facts)),
        };
        is_selected && !self.never.iter().any(|selector| selector.matches(facts))
    }

    /// Whether it depends on what containers use.
    pub fn is_by_use(&self) -> bool {
        self.only == Only::Used
    }

    /// Whether it depends on names, which can change; of images, on references.
    pub fn reads_names(&self) -> bool {
        self.selectors().any(ObjectSelector::reads_names)
    }

    /// Whether one name can hide an object, whatever the others are.
    pub fn hides_by_name(&self) -> bool {
        self.never.iter().any(ObjectSelector::reads_names)
    }

    /// Whether one label can hide an object, whatever else it is.
    pub fn hides_by_label(&self) -> bool {
        self.never.iter().any(|selector| selector.reads_label(None))
    }

    /// Whether it depends on the images of containers.
    pub fn reads_images(&self) -> bool {
        self.selectors().any(ObjectSelector::reads_images)
    }

    /// Whether it depends on a label, if one is called `name`; without a name, whether it depends on any.
    pub fn reads_label(&self, name: Option<&str>) -> bool {
        self.selectors().any(|selector| selector.reads_label(name))
    }

    /// The labels by which the engine's filters select exactly the objects that are shown. `None` if they cannot.
    pub fn labels(&self) -> Option<LabelFilters> {
        let with = match &self.only {
            Only::All => Vec::new(),
            Only::Used => return None,
            Only::Selected(selectors) => match selectors.as_slice() {
                [only] => only.labels()?,
                _ => return None,
            },
        };
        // Of several labels that an object must not have, an engine takes those that have not all of them.
        let without = match self.never.as_slice() {
            [] => None,
            [only] => Some(<[String; 1]>::try_from(only.labels()?).ok()?.into_iter().next()?),
            _ => return None,
        };
        Some(LabelFilters { with, without })
    }

    fn selectors(&self) -> impl Iterator<Item = &ObjectSelector> {
        let selected = match &self.only {
            Only::Selected(selectors) => selectors.as_slice(),
            Only::All | Only::Used => &[],
        };
        selected.iter().chain(&self.never)
    }
}

impl fmt::Display for Restriction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |selectors: &[ObjectSelector]| selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &self.only {
            Only::All => {}
            Only::Used => write!(f, "only used")?,
            Only::Selected(selectors) => write!(f, "only {}", list(selectors))?,
        }
        let separator = if self.only == Only::All { "" } else { "; " };
        if self.never.is_empty() { Ok(()) } else { write!(f, "{separator}never {}", list(&self.never)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn restriction(kind: ObjectKind, text: &str) -> Result<Restriction, Vec<String>> {
        let mut diagnostics = Diagnostics::default();
        let read = Restriction::read(kind, &yaml::parse("p.yaml", text).unwrap(), &mut diagnostics);
        diagnostics.finish(read.unwrap_or_default()).map_err(|wrong| wrong.iter().map(ToString::to_string).collect())
    }

    fn facts(name: &str, image: &str, labels: &[(&str, &str)]) -> Facts {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Facts { names: vec![name.to_owned()], image: Some(image.to_owned()), labels }
    }

    #[track_caller]
    fn check(text: &str, facts: &Facts, expected: bool) {
        let restriction = restriction(ObjectKind::Container, text).unwrap();
        assert_eq!(restriction.shows(facts, false), expected, "{text} {facts:?}");
    }

    #[test]
    fn any_selector_shows_and_all_its_keys_must_hold() {
        let web = facts("web-1", "nginx", &[("com.docker.compose.project", "shop"), ("show", "true")]);
        for (text, expected) in [
            ("only: [{project: shop}]", true),
            ("only: [{project: sho}]", false),
            ("only: [{project: Shop}]", false),
            ("only: [{project: s*p}]", true),
            ("only: [{name: web}]", false),
            ("only: [{name: web-*}]", true),
            ("only: [{name: web}, {label: show=true}]", true),
            ("only: [{label: show}]", true),
            ("only: [{label: show=}]", false),
            ("only: [{label: show=tru}]", false),
            ("only: [{name: web-1, label: show=false}]", false),
            ("only: [{name: web-1, label: show}]", true),
            ("only: [{image: nginx}]", true),
            ("only: [{image: \"nginx:*\"}]", true),
            ("only: [{image: docker.io/library/nginx}]", true),
            ("only: [{image: \"nginx:1\"}]", false),
            ("only: [{image: ngin*}]", true),
            ("only: []", false),
            ("never: [{label: show}]", false),
            ("never: [{label: hide}]", true),
            ("only: [{project: shop}]\nnever: [{name: web-*}]", false),
        ] {
            check(text, &web, expected);
        }
    }

    #[test]
    fn an_object_without_labels_is_selected_by_none() {
        check("only: [{label: \"*\"}]", &facts("web", "nginx", &[]), false);
        check("only: [{label: \"*\"}]", &facts("web", "nginx", &[("a", "")]), true);
        check("only: [{image: \"*\"}]", &Facts::default(), false);
    }

    #[test]
    fn every_error_is_reported() {
        let text = "only: [{nme: a}, {name: \"\"}, {}, [], {label: {}}]\nnver: []\n";
        assert_eq!(
            restriction(ObjectKind::Container, text).unwrap_err(),
            [
                "p.yaml:1:9: unknown key \"nme\", did you mean \"name\"?",
                "p.yaml:1:25: found an empty text, expected a pattern",
                "p.yaml:1:30: found a mapping, expected a mapping with one of project, label, name, image",
                "p.yaml:1:34: found a list, expected a mapping with one of project, label, name, image",
                "p.yaml:1:46: found a mapping, expected a text",
                "p.yaml:2:1: unknown key \"nver\", did you mean \"never\"?",
            ]
        );
        for (kind, text, expected) in [
            (ObjectKind::Image, "{}", "p.yaml:1:1: found neither `only` nor `never`, expected one of them"),
            (ObjectKind::Container, "only: used", "p.yaml:1:7: found text, expected a list of containers"),
            (ObjectKind::Volume, "only: usd", "p.yaml:1:7: found text, expected a list of volumes"),
        ] {
            assert_eq!(restriction(kind, text).unwrap_err(), [expected], "{text}");
        }
        assert!(restriction(ObjectKind::Image, "only: used").unwrap().is_by_use());
    }

    #[test]
    fn only_plain_labels_can_be_told_to_the_engine() {
        let with = |with: &[&str], without: Option<&str>| {
            let with = with.iter().map(|text| (*text).to_owned()).collect();
            Some(LabelFilters { with, without: without.map(str::to_owned) })
        };
        for (text, expected) in [
            ("only: [{project: shop}]", with(&["com.docker.compose.project=shop"], None)),
            ("only: [{project: shop, label: a=b=c}]", with(&["com.docker.compose.project=shop", "a=b=c"], None)),
            ("only: [{label: a}]\nnever: [{label: b=c}]", with(&["a"], Some("b=c"))),
            ("never: [{label: a}]", with(&[], Some("a"))),
            ("only: [{label: a}, {label: b}]", None),
            ("only: []", None),
            ("only: [{label: a*}]", None),
            ("only: [{label: \"a=b?\"}]", None),
            ("only: [{label: \"a=[b]\"}]", None),
            ("only: [{name: web}]", None),
            ("only: [{image: web}]", None),
            ("only: [{label: a, name: web}]", None),
            ("never: [{label: a}, {label: b}]", None),
            ("never: [{label: a, project: b}]", None),
            ("never: [{name: web}]", None),
        ] {
            assert_eq!(restriction(ObjectKind::Container, text).unwrap().labels(), expected, "{text}");
        }
        assert_eq!(restriction(ObjectKind::Volume, "only: used").unwrap().labels(), None);
    }

    #[test]
    fn a_selector_is_read_from_a_text_too() {
        let parse =
            |text: &str| ObjectSelector::parse(ObjectKind::Container, text).map(|selector| selector.to_string());
        assert_eq!(parse("project=shop").unwrap(), "project=shop");
        assert_eq!(parse("label=a=b").unwrap(), "label=a=b");
        assert_eq!(parse("nam=a").unwrap_err(), "unknown key \"nam\", did you mean \"name\"?");
        let expected = "expected one of project, label, name, image, then `=` and a pattern";
        assert_eq!(parse("web").unwrap_err(), format!("found \"web\", {expected}"));
        assert_eq!(parse("name=").unwrap_err(), format!("found \"name=\", {expected}"));
    }
}
