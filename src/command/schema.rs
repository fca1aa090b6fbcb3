//! `schema`: the JSON Schema of the files, by which editors complete and check them.

use std::io::Write;

use serde_json::{Value, json};

use super::{CommandError, OK};
use crate::api::{OPERATIONS, groups};
use crate::cli::{SchemaArgs, SchemaFile};
use crate::config::{FilterSources, Filters};
use crate::embedded;
use crate::schema::Class;

/// The file with the forms of all files. What the program knows by name is filled in.
const FORMS: &str = "schema.json";

/// The version of JSON Schema: the one that editors know best.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// Writes the schema of a file.
///
/// # Errors
/// [`CommandError`].
pub fn schema(arguments: &SchemaArgs, out: &mut dyn Write) -> Result<u8, CommandError> {
    serde_json::to_writer_pretty(&mut *out, &schema_of(arguments.file)?).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(OK)
}

/// The schema of a file, as a JSON document.
///
/// # Errors
/// [`CommandError`]: none, as long as the files in the program are whole, which tests check.
pub fn schema_of(file: SchemaFile) -> Result<Value, CommandError> {
    let mut schema: Value = serde_json::from_str(embedded::text(FORMS)).map_err(std::io::Error::from)?;
    let filters = Filters::load(&FilterSources::default())?;
    let ids: Vec<&str> = OPERATIONS.iter().map(|operation| operation.id).collect();
    let groups = groups::built_in()?;
    let of_groups = groups.iter().map(|group| group.name.as_str());
    let operations: Vec<&str> = ["all", "*", "Ping"].into_iter().chain(of_groups).chain(ids.iter().copied()).collect();
    let schemas = filters.catalogue.names();
    let schemas: Vec<&str> = schemas.chain(ids.iter().copied()).collect();
    let profiles: Vec<&str> = filters.profiles.iter().map(|profile| profile.name.as_str()).collect();
    let classes = Class::ALL.map(Class::as_str);
    for (pointer, names) in [
        ("/definitions/operation/enum", json!(operations)),
        ("/definitions/operationId/enum", json!(ids)),
        ("/definitions/class/enum", json!(classes)),
        ("/definitions/schemaName/enum", json!(schemas)),
        ("/definitions/profileName/examples", json!(profiles)),
    ] {
        if let Some(place) = schema.pointer_mut(pointer) {
            *place = names;
        }
    }
    let (name, title) = match file {
        SchemaFile::Config => ("config", "The configuration of dockveil"),
        SchemaFile::Profile => ("profile", "A profile of dockveil"),
        SchemaFile::Class => ("classFile", "Fields of a class, for dockveil"),
    };
    if let Value::Object(members) = &mut schema {
        members.insert("$schema".to_owned(), json!(DIALECT));
        members.insert("title".to_owned(), json!(title));
        members.insert("allOf".to_owned(), json!([{ "$ref": format!("#/definitions/{name}") }]));
    }
    Ok(schema)
}
