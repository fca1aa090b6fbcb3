//! Values as trees, for filter expressions. A tree takes up to a hundred times the memory of its text, so it has a limit.

use serde_json::Value;

use super::FilterError;
use super::json::{Cursor, DepthBudget, Stop};

/// What an object takes, in bytes, and what each of its members adds. They are in nodes of a B-tree, which have room for 11
/// members each and are at least half full.
const OBJECT: usize = 640;
const MEMBER: usize = 140;
/// What an element of an array adds, in bytes: itself, and room for more while the array grows.
const ELEMENT: usize = 96;
/// What a text takes beside its bytes.
const TEXT: usize = 16;
/// How many times as long as its text a tree is at most; objects in objects come close.
const WORST: usize = 160;

/// The most that the tree of a text of `length` bytes takes under a limit, in bytes.
pub(super) fn memory(length: usize, limit: usize) -> usize {
    limit.min(length.saturating_mul(WORST))
}

/// The tree of a text, which is JSON. `depth` is its limit of nesting, beside that of the parser.
///
/// # Errors
/// [`FilterError::TooMuchWork`] if the tree would take more than `limit` bytes.
pub(super) fn parse(text: &[u8], depth: DepthBudget, limit: usize) -> Result<Value, FilterError> {
    // A short text needs no count.
    if memory(text.len(), usize::MAX) > limit && size(&mut Cursor::new(text), depth)? > limit {
        return Err(FilterError::TooMuchWork);
    }
    serde_json::from_slice(text).map_err(|_| FilterError::NotJson)
}

/// What the tree of the value at the cursor takes at most, in bytes. Passes the value.
fn size(cursor: &mut Cursor<'_>, depth: DepthBudget) -> Result<usize, Stop> {
    Ok(match cursor.token()? {
        b'{' => {
            let depth = depth.inside()?;
            let mut more = cursor.first(b'}')?;
            let mut total = if more { OBJECT } else { 0 };
            while more {
                total += MEMBER + TEXT + cursor.key()?.written().len() + size(cursor, depth)?;
                more = cursor.more(b'}')?;
            }
            total
        }
        b'[' => {
            let depth = depth.inside()?;
            let (mut total, mut more) = (0, cursor.first(b']')?);
            while more {
                total += ELEMENT + size(cursor, depth)?;
                more = cursor.more(b']')?;
            }
            total
        }
        b'"' => TEXT + cursor.string()?.written().len(),
        _ => {
            cursor.skip(depth)?;
            0
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_past_the_limit_is_not_built() {
        let depth = DepthBudget::new(8);
        let objects = |count: usize| format!("[{}{{}}]", r#"{"a":1},"#.repeat(count)).into_bytes();
        assert!(parse(&objects(1_000), depth, 1 << 20).is_ok());
        assert_eq!(parse(&objects(2_000), depth, 1 << 20), Err(FilterError::TooMuchWork));
        // What is long only as a text is no tree.
        let text = format!(r#""{}""#, "{}[],".repeat(100_000));
        assert!(parse(text.as_bytes(), depth, 1 << 20).is_ok());
        assert_eq!(parse(b"[[[[[[[[[]]]]]]]]]", depth, 1), Err(FilterError::TooDeep { limit: 8 }));
    }

    #[test]
    fn no_text_makes_a_larger_tree_than_memory_says() {
        for text in [
            r#"{"":0},"#,
            "[],",
            "0,",
            r#""","#,
            "{},",
            r#"[{"":[]}],"#,
            r#"{"a":{"":{"":0}}},"#,
            r#"{"":{"":{"":{"":{"":0}}}}},"#,
        ] {
            let text = format!("[{}0]", text.repeat(1_000));
            let size = size(&mut Cursor::new(text.as_bytes()), DepthBudget::new(8)).unwrap();
            assert!(size <= memory(text.len(), usize::MAX), "{size} of {}", text.len());
        }
    }
}
