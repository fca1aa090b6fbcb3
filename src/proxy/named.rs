//! Requests whose bodies name objects, for a profile that shows only some of them.
//!
//! Every name is looked up as one in a path is, and goes up as the whole id of what the client sees. A name of nothing that the
//! client sees, hidden or absent, goes up as an id that nothing has: so the engine itself says what it says of absent objects. It is a
//! new one in each request. A client may read it, in the container that it has made, and somebody may then call something so: that is
//! not what another request names.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hyper::body::Bytes;

use super::body_names::{BodyNames, HOST_NETWORK, NameInBody, NamedKind, Passing, reading_memory};
use super::body_parts::BodyParts;
use super::borrowed::Lent;
use super::exchange::{ClientRequest, STREAM_REQUEST_LIMIT, collect, of_body};
use super::memory::Leased;
use super::objects::{Reading, Search};
use super::{Error, Proxy, work};
use crate::api::Operation;
use crate::api::bodies::{BodyFault, BodyShape, Shares};
use crate::api::objects::ObjectKind;
use crate::api::{familiar, has_registry, is_reference, with_tag};
use crate::filter::ExpressionWork;
use crate::members::member;
use crate::policy::Decision;
use crate::visibility::{SeenObject, read_object};

/// What the ids that nothing has begin with. They are known by it, whoever has sent them up: an engine has no such ids.
const ABSENT: &str = "0000000000000000";

/// How many objects are looked up that containers use from which a body borrows.
const LENT_LIMIT: usize = 64;

/// Objects that containers use from which a body borrows, and whether the client sees them.
type LentObjects = HashMap<(ObjectKind, String), bool>;

/// What a client was shown of an object that it edits.
#[derive(Debug, Default)]
struct Shown {
    /// The names of objects.
    names: Vec<NameInBody>,
    /// What reaches the host or is not known.
    parts: BodyParts,
}

impl Proxy {
    /// The request with a body in which all names are whole ids of objects that the client sees.
    ///
    /// # Errors
    /// [`Error::Body`] if the body is refused; any error of the connection to the engine.
    pub(super) async fn with_names(
        &self,
        search: Search<'_>,
        mut request: ClientRequest,
        shape: &Arc<BodyShape>,
    ) -> Result<ClientRequest, Error> {
        let Some(body) = request.body.take() else { return Ok(request) };
        let mut memory = self.memory.of_clients().admit().await?;
        let body = collect(body, STREAM_REQUEST_LIMIT, &mut memory).await?;
        let operation = search.route.operation;
        // The docker command sends `null` for a body that it leaves out.
        if !operation.body.is_required() && matches!(body.trim_ascii(), b"" | b"null") {
            request.restored = Some(Bytes::from_owner(Leased::new(body, memory)));
            return Ok(request);
        }
        let is_whole = self.policy.profile().contents(operation).is_whole();
        let Shown { names: known, parts } = self.shown_of_edited(search, shape, is_whole).await?;
        let length = body.len() + parts.size() + known.iter().map(NameInBody::size).sum::<usize>();
        let grown = memory.grow(2 * length, memory.enough(length, length + reading_memory(body.len()))).await;
        grown.map_err(of_body)?;
        let passing = if is_whole { Passing::Everything } else { Passing::Parts(parts) };
        let (shape_of, visibility) = (shape.clone(), self.policy.visibility().clone());
        // Each value is read as often as it is deep in the shape of the body.
        let is_long = work::is_long(body.len(), ExpressionWork::Linear);
        // The lease goes along, because the work goes on if nobody waits for it any more.
        let read = move || {
            let found = BodyNames::read(&body, &shape_of, &|kind| visibility.restricts(kind), &passing);
            drop(body);
            (found, memory)
        };
        let (found, memory) = if is_long { work::on_helper(search.client, read).await } else { read() };
        let refused = |fault: BodyFault| self.body_error(operation, fault);
        let found = found.map_err(refused)?;
        let tick = self.start_tick().await;
        let replacements = self.replacements(search, &found.names, &known, is_whole).await;
        // The engine tells sooner that it has nothing of a name than what has it.
        if let Some(tick) = tick
            && !replacements.as_ref().is_ok_and(|all| all.iter().all(Option::is_some))
        {
            self.wait_for_tick(tick).await;
        }
        let nothing = absent_id();
        let in_place =
            |(name, text): (&NameInBody, Option<String>)| text.unwrap_or_else(|| absent(name.object, &nothing));
        let replacements: Vec<String> = found.names.iter().zip(replacements?).map(in_place).collect();
        let body = found.write(&replacements).map_err(refused)?;
        // It stays leased until it has gone up.
        request.restored = Some(Bytes::from_owner(Leased::new(body, memory)));
        Ok(request)
    }

    /// What goes up in place of each name; `None` for those of nothing that the client sees. Those that the object has that the client
    /// edits, `known`, stay.
    async fn replacements(
        &self,
        search: Search<'_>,
        names: &[NameInBody],
        known: &[NameInBody],
        is_whole: bool,
    ) -> Result<Vec<Option<String>>, Error> {
        let mut replaced: HashMap<(NamedKind, &str, Shares), Option<String>> = HashMap::new();
        let mut lent = LentObjects::default();
        let mut replacements = Vec::with_capacity(names.len());
        for name in names {
            if known.iter().any(|known| known.is_as(name)) {
                replacements.push(Some(name.name.clone()));
                continue;
            }
            replacements.push(match replaced.entry(name.key()) {
                Entry::Occupied(entry) => entry.get().clone(),
                Entry::Vacant(entry) => {
                    entry.insert(self.replacement(search, name, is_whole, &mut lent).await?).clone()
                }
            });
        }
        Ok(replacements)
    }

    pub(super) fn body_error(&self, operation: &Operation, fault: BodyFault) -> Error {
        let refusal = self.policy.body_refusal(operation, &fault);
        Error::Body { fault: Box::new(fault), refusal }
    }

    /// What a client was shown of an object that it edits, and may send back: the names of objects, and the parts that reach the
    /// host or are not known. Nothing for any other operation, or if the client does not see the object.
    ///
    /// What the object has beside that does not count: the answer would tell whether the client has guessed it.
    async fn shown_of_edited(
        &self,
        search: Search<'_>,
        shape: &Arc<BodyShape>,
        is_whole: bool,
    ) -> Result<Shown, Error> {
        let Search { route, client, .. } = search;
        let Some(edited) = route.operation.edits() else { return Ok(Shown::default()) };
        let Decision::Filter(plan) = self.policy.decide_operation(edited.inspect.id) else {
            return Ok(Shown::default());
        };
        let (shape, visibility) = (shape.clone(), self.policy.visibility().clone());
        let (expressions, filter) = (plan.expressions(), plan.clone());
        let memory = move |length| filter.memory(length).saturating_add(reading_memory(length));
        let passing = if is_whole { Passing::Everything } else { Passing::Noted };
        let read = move |document: &[u8]| {
            let mut shown = Vec::with_capacity(document.len());
            plan.apply(document, &mut shown).ok()?;
            let text = str::from_utf8(&shown).ok()?;
            // A client may go back to the one before. It cannot send back one that is longer than a body may be.
            let specs = ["Spec", "PreviousSpec"].into_iter().filter_map(|name| member(text, name).ok().flatten());
            let specs = specs.filter(|spec| spec.len() <= STREAM_REQUEST_LIMIT);
            let restricts = |kind| visibility.restricts(kind);
            let read = |spec: &str| BodyNames::read(spec.as_bytes(), &shape, &restricts, &passing).ok();
            let mut shown = Shown::default();
            for spec in specs.filter_map(read) {
                shown.names.extend(spec.names);
                shown.parts.extend(&spec.parts);
            }
            Some(shown)
        };
        let reading = Reading { expressions, memory };
        Ok(self.read_at_cost(route, edited.inspect.id, &route.name, client, reading, read).await?.unwrap_or_default())
    }

    /// What goes up in place of a name; `None` if it is that of nothing that the client sees. With `is_whole`, it may be that of the host.
    async fn replacement(
        &self,
        search: Search<'_>,
        name: &NameInBody,
        is_whole: bool,
        lent: &mut LentObjects,
    ) -> Result<Option<String>, Error> {
        let (text, operation) = (name.name.as_str(), search.route.operation);
        if matches!(name.shares, Shares::Processes | Shares::Environment) && !self.policy.shows_environment() {
            return Err(self.body_error(operation, BodyFault::Environment));
        }
        let lends = !matches!(name.shares, Shares::Nothing | Shares::Environment);
        let found = match name.object {
            NamedKind::Container => match self.container_in_body(search, text).await? {
                Some(id) if lends && !self.lends(search, &id, name.shares, lent).await? => {
                    return Err(self.body_error(operation, BodyFault::Borrowed));
                }
                found => found,
            },
            NamedKind::ContainerName => match self.container_in_body(search, text).await? {
                Some(id) => self.seen_again(search, &id).await?.and_then(|seen| seen.facts.names.into_iter().next()),
                None => None,
            },
            NamedKind::Network if text.contains('/') => None,
            NamedKind::Network => match self.object(search, ObjectKind::Network, text).await? {
                Some(seen) if !is_whole && seen.facts.names.iter().any(|name| name == HOST_NETWORK) => {
                    return Err(self.body_error(operation, BodyFault::Host("a network".to_owned())));
                }
                seen => seen.map(|seen| seen.id),
            },
            NamedKind::Image if !is_reference(text) => None,
            NamedKind::Image => {
                let seen = self.object(search, ObjectKind::Image, text).await?;
                seen.map(|seen| reference_of(seen, text))
            }
            NamedKind::Volume => self.volume_in_body(search, text).await?,
        };
        match (found, name.object) {
            (Some(found), _) => Ok(Some(found)),
            (None, NamedKind::Container | NamedKind::ContainerName | NamedKind::Network) => Ok(None),
            (None, NamedKind::Image) if operation.id == "ContainerCreate" => Ok(None),
            // A service is made all the same, and a volume with it.
            (None, NamedKind::Image) => Err(self.body_error(operation, BodyFault::NotShown(ObjectKind::Image))),
            (None, NamedKind::Volume) => Err(self.body_error(operation, BodyFault::NotShown(ObjectKind::Volume))),
        }
    }

    /// Whether the container with this whole id lends nothing that a body may not name.
    async fn lends(&self, search: Search<'_>, id: &str, shares: Shares, lent: &mut LentObjects) -> Result<bool, Error> {
        let Some(shape) = self.policy.lent().cloned() else { return Ok(false) };
        let read = move |document: &[u8]| {
            let container = read_object(ObjectKind::Container, document)?;
            Some((container.id, Lent::read(document, &shape)?))
        };
        let reading = Reading { expressions: ExpressionWork::Linear, memory: reading_memory };
        let found = self.read_at_cost(search.route, "ContainerInspect", id, search.client, reading, read).await?;
        let Some((_, container)) = found.filter(|(found, lent)| found == id && lent.has(shares)) else {
            return Ok(false);
        };
        for (kind, name) in container.uses {
            if !self.policy.visibility().restricts(kind) {
                continue;
            }
            let is_visible = match lent.get(&(kind, name.clone())) {
                Some(is_visible) => *is_visible,
                None if lent.len() == LENT_LIMIT => {
                    return Err(self.body_error(search.route.operation, BodyFault::TooMany));
                }
                None => {
                    let is_visible = self.is_visible_in_body(search, kind, &name).await?;
                    lent.insert((kind, name), is_visible);
                    is_visible
                }
            };
            if !is_visible {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the client sees an object, which is no container.
    async fn is_visible_in_body(&self, search: Search<'_>, kind: ObjectKind, name: &str) -> Result<bool, Error> {
        match kind {
            ObjectKind::Volume => Ok(self.volume_in_body(search, name).await?.is_some()),
            ObjectKind::Network | ObjectKind::Image if is_reference(name) => {
                Ok(self.object(search, kind, name).await?.is_some())
            }
            ObjectKind::Network | ObjectKind::Image | ObjectKind::Container | ObjectKind::Service => Ok(false),
        }
    }

    async fn container_in_body(&self, search: Search<'_>, text: &str) -> Result<Option<String>, Error> {
        let name = text.strip_prefix('/').unwrap_or(text);
        if is_name(name) { self.container(search, name).await } else { Ok(None) }
    }

    /// A container that was found, with what it is called now.
    async fn seen_again(&self, search: Search<'_>, id: &str) -> Result<Option<SeenObject>, Error> {
        let kind = ObjectKind::Container;
        let read = move |document: &[u8]| read_object(kind, document);
        let seen = self.read(search.route, "ContainerInspect", id, search.client, read).await?;
        Ok(seen.filter(|seen| self.allows(search, kind, seen, false)))
    }

    /// The name of a volume that the client sees, or would see if it were made.
    pub(super) async fn volume_in_body(&self, search: Search<'_>, text: &str) -> Result<Option<String>, Error> {
        let kind = ObjectKind::Volume;
        if !is_name(text) {
            return Ok(None);
        }
        let seen = self.object(search, kind, text).await?;
        let by_name = || self.policy.visibility().shows_by_name(kind, text).then(|| text.to_owned());
        Ok(seen.map(|seen| seen.id).or_else(by_name))
    }
}

/// An id that nothing has: 64 hexadecimal digits, which nobody can have guessed and given to something as a name.
fn absent_id() -> String {
    // Each is the hash of nothing under another key. The system chooses the first one at random, and the next ones follow it.
    let digits = |_| format!("{:016x}", RandomState::new().build_hasher().finish());
    std::iter::once(ABSENT.to_owned()).chain((0..3).map(digits)).collect()
}

/// What goes up in place of the name of an object that the client does not see: `nothing`, an id that nothing has.
fn absent(object: NamedKind, nothing: &str) -> String {
    match object {
        NamedKind::Image => format!("sha256:{nothing}"),
        NamedKind::Container | NamedKind::ContainerName | NamedKind::Network | NamedKind::Volume => nothing.to_owned(),
    }
}

/// Whether a text is like what goes up in place of the name of something that no client sees.
pub(super) fn is_absent(text: &str) -> bool {
    text.len() == 64 && text.starts_with(ABSENT)
}

/// Whether engines accept a text as the name of a container or a volume.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && text.bytes().all(is_part)
}

/// What goes up for an image: its reference if that is how the client names it, because what is made of it shows that; its id
/// if the client wrote the start of that. A name without a registry, which Podman looks for in several, goes up with that of the image.
pub(super) fn reference_of(seen: SeenObject, text: &str) -> String {
    let (wanted, whole) = (familiar(text), with_tag(text));
    let is_it = |name: &&String| familiar(name) == wanted;
    match seen.facts.names.iter().find(is_it) {
        None => seen.id,
        Some(_) if has_registry(text) || seen.facts.names.contains(&whole) => text.to_owned(),
        Some(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_a_name() {
        for (text, name, reference) in [
            ("web", true, true),
            ("web-1.a_b", true, true),
            ("", false, false),
            (".", false, false),
            ("..", false, false),
            ("a/b", false, true),
            ("a/../b", false, false),
            ("a//b", false, false),
            ("a:1", false, true),
            ("sha256:ab", false, true),
            ("a?b", false, false),
            ("a b", false, false),
            ("a%2fb", false, false),
            ("é", false, false),
        ] {
            assert_eq!((is_name(text), is_reference(text)), (name, reference), "{text}");
        }
    }

    #[test]
    fn an_image_keeps_a_reference_and_not_the_start_of_an_id() {
        let seen = || {
            let facts = crate::visibility::Facts { names: vec!["web:1".to_owned()], ..Default::default() };
            SeenObject { id: "sha256:abcd".to_owned(), facts }
        };
        assert_eq!(reference_of(seen(), "docker.io/library/web:1"), "docker.io/library/web:1");
        assert_eq!(reference_of(seen(), "ab"), "sha256:abcd");
    }

    #[test]
    fn an_absent_id_is_a_whole_id_and_new() {
        let ids = [absent_id(), absent_id()];
        assert!(ids.iter().all(|id| is_absent(id) && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{ids:?}");
        assert_ne!(ids[0], ids[1]);
    }
}
