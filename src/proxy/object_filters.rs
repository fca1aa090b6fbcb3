//! Parameters and filters that name objects, for a profile that shows only some of them.
//!
//! The engine looks up what they name, and its answer tells whether there is such an object. So each is resolved like the name
//! in a path: the request goes up with whole ids, and an object that is hidden is answered like one that does not exist.

use serde_json::{Value, json};

use super::objects::{Search, is_prefix};
use super::{Error, Proxy};
use crate::api::objects::ObjectKind;
use crate::route::Route;

/// What a key of `filters` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// An object of a kind. If there is none, the engine answers so.
    Object(ObjectKind),
    /// An image. If there is none, nothing matches.
    Ancestor,
    /// A container by the start of its id. If there is none, or if there are several, nothing matches.
    ShortId,
}

impl Named {
    /// The kind of what is named.
    const fn kind(self) -> ObjectKind {
        match self {
            Self::Object(kind) => kind,
            Self::Ancestor => ObjectKind::Image,
            Self::ShortId => ObjectKind::Container,
        }
    }
}

/// The keys of `filters` that name objects which the engine looks up, by operation.
///
/// Source: `daemon/list.go`, `daemon/images/image_list.go` and `daemon/cluster/tasks.go` of moby.
const NAMING: [(&str, &str, Named); 7] = [
    ("ContainerList", "before", Named::Object(ObjectKind::Container)),
    ("ContainerList", "since", Named::Object(ObjectKind::Container)),
    ("ContainerList", "ancestor", Named::Ancestor),
    ("ContainerList", "id", Named::ShortId),
    ("ImageList", "before", Named::Object(ObjectKind::Image)),
    ("ImageList", "since", Named::Object(ObjectKind::Image)),
    ("TaskList", "service", Named::Object(ObjectKind::Service)),
];

/// A value by which engines find nothing: neither ids nor references have this character.
const NOTHING: &str = "!";

/// How many objects a filter may name that are looked up one by one.
const LIMIT: usize = 200;

impl Proxy {
    /// The route with the whole ids of the objects that its parameters name. `parameter` is one that names a container, `client`
    /// the name in the log of who asks.
    ///
    /// # Errors
    /// [`Error::Engine`] with the status 404 if there is no such object for this client; any error of the connection to the
    /// engine.
    pub(super) async fn of_query(
        &self,
        mut route: Route,
        parameter: Option<&str>,
        client: &str,
    ) -> Result<Route, Error> {
        if self.policy.visibility().restricts(ObjectKind::Container) {
            let ages = ["before", "since"].into_iter().filter(|_| route.operation.id == "ContainerList");
            for name in ages.chain(parameter) {
                if let Some(text) = route.query.get(name).filter(|text| !text.is_empty()) {
                    let id = self.container(Search::new(&route, client), text).await?;
                    route.query.set(name, &id.ok_or_else(|| self.absent(route.operation))?);
                }
            }
        }
        let of_operation = NAMING.iter().filter(|(operation, ..)| *operation == route.operation.id);
        let naming: Vec<_> =
            of_operation.filter(|(.., named)| self.policy.visibility().restricts(named.kind())).collect();
        if let Some(text) = route.query.get("filters").filter(|text| !naming.is_empty() && !text.is_empty()) {
            let mut filters: Value = serde_json::from_str(text).map_err(|_| self.absent(route.operation))?;
            for (_, key, named) in naming {
                if let Some(values) = filters.get_mut(*key) {
                    *values = self.ids_in_filter(&route, values, *named, client).await?;
                }
            }
            route.query.set("filters", &filters.to_string());
        }
        Ok(route)
    }

    /// The values of a filter, which name objects, with whole ids in their place. They are a list, or the keys of a map, and
    /// stay what they are.
    async fn ids_in_filter(&self, route: &Route, values: &Value, named: Named, client: &str) -> Result<Value, Error> {
        let names: Vec<&str> = match values {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Object(names) => names.keys().map(String::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        let kind = match named {
            Named::ShortId => {
                let ids = self.whole_ids(route, &names, client).await?;
                return Ok(in_form_of(values, ids));
            }
            Named::Object(kind) => Some(kind),
            Named::Ancestor => None,
        };
        if names.len() > LIMIT {
            return Err(self.absent(route.operation));
        }
        let search = Search::new(route, client);
        let mut ids = Vec::new();
        for name in names {
            let id = match kind {
                Some(ObjectKind::Container) => self.container(search, name).await?,
                Some(kind) => self.object(search, kind, name).await?.map(|object| object.id),
                None => self.ancestor(search, name).await?,
            };
            ids.push(id.ok_or_else(|| self.absent(route.operation))?);
        }
        Ok(in_form_of(values, ids))
    }

    /// The image with this name as a filter names it for every engine: Podman compares ids without the algorithm.
    async fn ancestor(&self, search: Search<'_>, name: &str) -> Result<Option<String>, Error> {
        let image = self.object(search, ObjectKind::Image, name).await?;
        let id = image.map(|image| image.id.strip_prefix("sha256:").unwrap_or(&image.id).to_owned());
        Ok(Some(id.unwrap_or_else(|| NOTHING.to_owned())))
    }

    /// The whole ids of the containers whose ids begin like these, each of which must be the only visible one.
    async fn whole_ids(&self, route: &Route, names: &[&str], client: &str) -> Result<Vec<String>, Error> {
        let as_written = |name: &&str| (*name).to_owned();
        if !names.iter().any(|name| is_prefix(name)) {
            return Ok(names.iter().map(as_written).collect());
        }
        let prefixes: Vec<String> = names.iter().map(as_written).collect();
        let is_begun = move |id: &str| prefixes.iter().any(|prefix| id.starts_with(prefix));
        let (found, _memory) = self.visible_containers(route, client, is_begun).await?;
        let whole = |name: &&str| {
            let mut begun = found.ids().filter(|id| id.starts_with(name));
            match (begun.next(), begun.next()) {
                (Some(id), None) => id.to_owned(),
                _ => NOTHING.to_owned(),
            }
        };
        Ok(names.iter().map(|name| if is_prefix(name) { whole(name) } else { as_written(name) }).collect())
    }
}

/// These texts in place of those of a filter, one for each, in the form in which they are written: an engine reads all filters
/// of a request in one form. What is neither a list nor a map has been denied before.
fn in_form_of(written: &Value, texts: Vec<String>) -> Value {
    let Value::Object(written) = written else { return json!(texts) };
    let mut map = serde_json::Map::new();
    for (text, counts) in texts.into_iter().zip(written.values()) {
        // Two names may be of one object, which counts if one of them does.
        if map.get(&text) != Some(&Value::Bool(true)) {
            map.insert(text, counts.clone());
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_replaces_the_texts_of_a_filter_is_in_their_form() {
        let in_place =
            |written: Value, ids: &[&str]| in_form_of(&written, ids.iter().map(ToString::to_string).collect());
        for (written, ids, expected) in [
            (json!(["a", "b"]), &["1", "2"][..], json!(["1", "2"])),
            (json!([]), &[], json!([])),
            (json!({"a": true, "b": false}), &["1", "2"], json!({"1": true, "2": false})),
            (json!({"a": true, "b": false}), &["1", "1"], json!({"1": true})),
            (json!({"a": false, "b": true}), &["1", "1"], json!({"1": true})),
            (json!({}), &[], json!({})),
        ] {
            assert_eq!(in_place(written.clone(), ids), expected, "{written}");
        }
    }
}
