//! Request line to operation.
//!
//! The client's target is read once, strictly, into a [`Route`]: one operation of the table, an API version, names and
//! query parameters, all decoded. What goes upstream is written anew from the route and never holds a byte as the client
//! spelled it, so the daemon cannot read a request differently from us. What has two readings is refused.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

mod operations;
mod percent;
mod query;
mod target;

pub use operations::{
    OPERATIONS, Operation, Parameter, RequestBody, Response, Stream, Versions, operation, operations_named,
};
pub use query::Query;
pub use target::{Method, Target, TargetError, UnknownMethod, Version};

/// One request, understood: which operation it is, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The row of the table.
    pub operation: &'static Operation,
    /// The version the client asked for; `None` where it left the choice to the daemon.
    pub version: Option<Version>,
    /// The container, image, network … of the path, decoded; empty where the path names none.
    pub name: String,
    /// The second name of the path, a checkpoint; empty for every other operation.
    pub second: String,
    /// The parameters after `?`.
    pub query: Query,
}

/// Finds the operation that a request line stands for.
///
/// `Ok(None)` means that the daemon has no such operation either, or none that a client should know of: a 404.
///
/// # Errors
/// A [`TargetError`] if the target has more than one reading, or none. That is a 400.
pub fn find(method: &str, raw_target: &str) -> Result<Option<Route>, TargetError> {
    let target = Target::parse(raw_target)?;
    let Ok(method) = method.parse::<Method>() else { return Ok(None) };
    let Some((pattern, names)) = look_up(method, &target) else {
        // Only references have slashes of their own. Anywhere else an encoded one is an attempt at a second reading.
        return if target.has_encoded_slash() { Err(TargetError::EncodedSlash) } else { Ok(None) };
    };
    let query = Query::parse(target.query(), pattern.operation.query)?;
    Ok(Some(Route {
        operation: pattern.operation,
        version: target.version(),
        name: names.first.join("/"),
        second: names.second.join("/"),
        query,
    }))
}

impl Route {
    /// Appends the target to send upstream: canonical, and the same however the client spelled its own.
    pub fn upstream_target(&self, version: Version, out: &mut String) {
        let _ = write!(out, "/v{version}");
        let mut names = [&self.name, &self.second].into_iter();
        for piece in self.operation.template.split('/').skip(1).map(Piece::of) {
            out.push('/');
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Name | Piece::Reference => {
                    if let Some(name) = names.next() {
                        percent::encode_path(name, out);
                    }
                }
            }
        }
        self.query.write(out);
    }

    /// Whether the response, with these parameters, is raw or unending: bytes to pass on as they arrive, and nothing
    /// to read whole.
    pub fn streams(&self) -> bool {
        match self.operation.response {
            Response::Stream(Stream::Stats) => self.query.flag_or("stream", true),
            Response::Stream(Stream::Logs | Stream::Events | Stream::Progress | Stream::Wait)
            | Response::Hijack
            | Response::WebSocket
            | Response::Tar
            | Response::Octets => true,
            Response::Document(_) | Response::Array(_) | Response::Text | Response::Empty => false,
        }
    }
}

/// One part of a template, between two slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Must be there as it is.
    Literal(&'static str),
    /// Any one segment.
    Name,
    /// One segment or more: the name of an image or a plugin.
    Reference,
}

impl Piece {
    /// Reads one part of a template.
    fn of(text: &'static str) -> Self {
        match text {
            "{reference}" => Self::Reference,
            placeholder if placeholder.starts_with('{') => Self::Name,
            literal => Self::Literal(literal),
        }
    }
}

/// A template, ready to be compared.
struct Pattern {
    /// What it leads to.
    operation: &'static Operation,
    /// The parts after the first, which is the key of [`PATTERNS`].
    pieces: Vec<Piece>,
    /// Whether the path ends with a slash.
    trailing_slash: bool,
}

/// The segments of a path that stand where a template has its placeholders.
#[derive(Clone, Copy, Default)]
struct Names<'t> {
    /// Of the first placeholder; empty where there is none.
    first: &'t [std::borrow::Cow<'t, str>],
    /// Of the second.
    second: &'t [std::borrow::Cow<'t, str>],
}

/// Second spellings under which the daemon answers, as operation and template.
const ALSO: &[(&str, &str)] = &[("NetworkList", "/networks/")];

/// All patterns under the first part of their template; of two that match, the one the daemon prefers comes first.
static PATTERNS: LazyLock<HashMap<&'static str, Vec<Pattern>>> = LazyLock::new(|| {
    let rows = OPERATIONS.iter().map(|operation| (operation, operation.template));
    let also = ALSO.iter().filter_map(|(id, template)| Some((operation(id)?, *template)));
    let mut patterns: HashMap<_, Vec<Pattern>> = HashMap::new();
    for (operation, template) in rows.chain(also) {
        let (first, pattern) = Pattern::of(operation, template);
        patterns.entry(first).or_default().push(pattern);
    }
    for family in patterns.values_mut() {
        family.sort_by_key(Pattern::rank);
    }
    patterns
});

/// The pattern that the daemon would choose.
fn look_up<'t>(method: Method, target: &'t Target<'_>) -> Option<(&'static Pattern, Names<'t>)> {
    let (first, rest) = target.segments().split_first()?;
    let family = PATTERNS.get(first.as_ref())?;
    family
        .iter()
        .filter(|pattern| pattern.operation.method == method && pattern.trailing_slash == target.has_trailing_slash())
        .find_map(|pattern| Some((pattern, pattern.names(rest)?)))
}

impl Pattern {
    /// Splits a template into its first part and the pattern of the rest.
    fn of(operation: &'static Operation, template: &'static str) -> (&'static str, Self) {
        let path = template.strip_prefix('/').unwrap_or(template);
        let (path, trailing_slash) = path.strip_suffix('/').map_or((path, false), |shorter| (shorter, true));
        let mut parts = path.split('/');
        let first = parts.next().unwrap_or_default();
        (first, Self { operation, pieces: parts.map(Piece::of).collect(), trailing_slash })
    }

    /// The daemon's precedence as a number: names cost, literals win.
    fn rank(&self) -> (usize, usize) {
        let literals = self.pieces.iter().filter(|piece| matches!(piece, Piece::Literal(_))).count();
        let names = self.pieces.len().saturating_sub(literals);
        (names, usize::MAX.saturating_sub(literals))
    }

    /// The names in `segments` if they are a path of this pattern.
    fn names<'t>(&self, segments: &'t [std::borrow::Cow<'t, str>]) -> Option<Names<'t>> {
        let mut names = Names::default();
        let mut rest = segments;
        let mut pieces = self.pieces.iter();
        while let Some(piece) = pieces.next() {
            let length = match piece {
                Piece::Literal(_) | Piece::Name => 1,
                Piece::Reference => rest.len().checked_sub(pieces.len())?.max(1),
            };
            let (taken, left) = rest.split_at_checked(length)?;
            rest = left;
            match piece {
                Piece::Literal(text) => {
                    if taken.iter().any(|segment| segment != text) {
                        return None;
                    }
                    continue;
                }
                Piece::Name => {
                    if taken.iter().any(|segment| segment.contains('/')) {
                        return None;
                    }
                }
                Piece::Reference => {}
            }
            if names.first.is_empty() {
                names.first = taken;
            } else {
                names.second = taken;
            }
        }
        rest.is_empty().then_some(names)
    }
}
