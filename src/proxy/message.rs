//! What a client reads of an error.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::{ApiVersion, Operation, errors};
use crate::policy::Policy;

/// The longest error document of the engine that is read, in bytes.
pub(super) const ERROR_LIMIT: usize = 64 * 1024;

/// What a client reads of an error: a text of our own, or the engine's document as the profile shows it.
///
/// A text of our own holds fixed words, numbers, what the operator wrote, and what the client sent itself. Nothing else is
/// quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Wording);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wording {
    Text(Cow<'static, str>),
    /// What the plan of error documents leaves of the engine's.
    Document(Vec<u8>),
    /// Nothing but the length of the document, if it is known: the answer to a HEAD.
    Unread(Option<u64>),
}

/// The member of the engine's error documents that clients read.
#[derive(Deserialize)]
struct ErrorDocument {
    message: String,
}

/// The form of an error in a stream.
#[derive(Deserialize)]
struct InStreamError {
    error: String,
    message: Option<IgnoredAny>,
}

impl<T: Into<Cow<'static, str>>> From<T> for Message {
    fn from(text: T) -> Self {
        Self(Wording::Text(text.into()))
    }
}

impl Message {
    /// For a client that asks for a newer API version than the engine's.
    pub(super) fn too_new(client: ApiVersion, engine: ApiVersion) -> Self {
        Self::text(errors::too_new(client, engine))
    }

    /// For a client that asks for an older API version than it may use.
    pub(super) fn too_old(client: ApiVersion, engine: ApiVersion) -> Self {
        Self::text(errors::too_old(client, engine))
    }

    /// What the policy says of an error of the engine. `body` is the body of its answer, if it was read.
    pub(super) fn of_engine(policy: &Policy, operation: &Operation, status: u16, body: Option<&[u8]>) -> Self {
        let document = body.map(as_document);
        let shown = document.as_deref().and_then(|document| policy.shown_error(document));
        if let Some(document) = shown.filter(|document| text_of(document).is_some_and(|text| !text.is_empty())) {
            return Self(Wording::Document(document));
        }
        let text = document.as_deref().and_then(text_of);
        Self::text(policy.error_table().phrase(status, operation, text.as_deref()))
    }

    /// For an error of the engine to a HEAD, whose text nobody has read. `length` is what the engine says of its document; it is
    /// that of the client's only if the policy shows all of it.
    pub(super) fn unread(policy: &Policy, length: Option<u64>) -> Self {
        Self(Wording::Unread(length.filter(|_| policy.shows_errors_in_full())))
    }

    /// The length of a document that is not sent.
    pub(super) fn unread_length(&self) -> Option<u64> {
        match self.0 {
            Wording::Unread(length) => length,
            Wording::Text(_) | Wording::Document(_) => None,
        }
    }

    /// What the policy says of an error inside a stream.
    pub(super) fn in_stream(policy: &Policy, text: Option<&str>) -> String {
        let document = serde_json::json!({ "message": text.unwrap_or_default() }).to_string();
        let shown = policy.shown_error(document.as_bytes()).and_then(|document| text_of(&document));
        let known = || text.and_then(|text| policy.error_table().known(text)).map(str::to_owned);
        shown.filter(|text| !text.is_empty()).or_else(known).unwrap_or_else(|| errors::HIDDEN_IN_STREAM.to_owned())
    }

    fn text(text: String) -> Self {
        Self(Wording::Text(Cow::Owned(text)))
    }

    /// How many bytes are sent.
    pub(super) fn length(&self) -> usize {
        self.clone().into_document().len()
    }

    /// The document that is sent: `{"message":"…"}` and a line feed, as the engine writes it.
    pub(super) fn into_document(self) -> Vec<u8> {
        match self.0 {
            Wording::Document(document) => document,
            Wording::Unread(_) => Vec::new(),
            Wording::Text(message) => {
                let mut document = serde_json::json!({ "message": message }).to_string().into_bytes();
                document.push(b'\n');
                document
            }
        }
    }
}

/// The engine's error as a document with a `message`. Some errors are plain text, such as those of attaching to a container,
/// and some have the form of an error in a stream, such as those of pushing with Podman.
fn as_document(body: &[u8]) -> Cow<'_, [u8]> {
    let text = match str::from_utf8(body) {
        Ok(text) if !text.trim_start().starts_with('{') => text.trim().to_owned(),
        Ok(_) | Err(_) => match serde_json::from_slice::<InStreamError>(body) {
            Ok(InStreamError { error, message: None }) => error,
            Ok(_) | Err(_) => return Cow::Borrowed(body),
        },
    };
    Cow::Owned(serde_json::json!({ "message": text }).to_string().into_bytes())
}

/// The text of an error document.
fn text_of(document: &[u8]) -> Option<String> {
    serde_json::from_slice::<ErrorDocument>(document).ok().map(|document| document.message)
}
