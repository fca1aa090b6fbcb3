//! The plans of a policy. Each is compiled when it is first asked for.
//!
//! A start compiles only what may have an error: see [`Plan::certainly_compiles`]. So every error is reported there all the same.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::guard::EventKinds;
use super::is_events;
use super::shown::{ShownFields, selects_by_name};
use crate::api::errors;
use crate::api::queries::{QueryTable, ReadField};
use crate::api::{Operation, operation};
use crate::filter::{Action, CompileError, DocumentLimits, Plan, RecordFilter, Rule, Show};
use crate::profile::{Profile, StreamFiltering};
use crate::schema::{Catalogue, Class, ClassSet};

/// The plans of one profile, by the names of their schemas.
///
/// Threads that ask for the same plan at the same time wait for one of them. Nothing else waits.
#[derive(Debug)]
pub(super) struct Plans {
    profile: Arc<Profile>,
    /// What plans are compiled from. Its schemas stay packed: each compilation unpacks those that it needs, and drops them.
    catalogue: Catalogue,
    limits: DocumentLimits,
    schemas: BTreeMap<&'static str, SchemaPlan>,
    /// What happens to each event. `None` inside if that does not compile.
    events: OnceLock<Option<RecordFilter>>,
    /// What events are. `None` inside if the program is damaged.
    event_kinds: OnceLock<Option<EventKinds>>,
}

/// What a policy needs of one schema.
#[derive(Debug, Default)]
struct SchemaPlan {
    /// Whether documents of the schema are filtered.
    is_filtered: bool,
    /// Whether an allowed operation returns documents of the schema, perhaps inside others.
    is_returned: bool,
    /// The paths of the fields that requests of allowed operations read.
    read: Vec<String>,
    /// `None` inside if it does not compile.
    compiled: OnceLock<Option<CompiledSchema>>,
}

/// What was compiled for one schema.
#[derive(Debug)]
struct CompiledSchema {
    /// `None` if no documents of the schema are filtered.
    plan: Option<Arc<Plan>>,
    /// Which of the fields that requests read are shown in full.
    shown: ShownFields,
}

impl Plans {
    /// The plans of a profile, of which none is compiled.
    pub(super) fn new(
        profile: Arc<Profile>,
        catalogue: &Catalogue,
        limits: DocumentLimits,
        queries: &'static QueryTable,
    ) -> Self {
        let mut schemas: BTreeMap<&'static str, SchemaPlan> = BTreeMap::new();
        let operations: Vec<&'static Operation> = profile.allow.keys().filter_map(|id| operation(id)).collect();
        for operation in &operations {
            let answer = operation.filtered_schema().filter(|_| !is_events(operation));
            let written_back = operation.writes_back.iter().map(|part| part.schema);
            for schema in answer.into_iter().chain(written_back) {
                schemas.entry(schema).or_default().is_filtered = true;
            }
        }
        for ReadField { schema, path } in operations.iter().flat_map(|operation| queries.fields(operation)) {
            let read = &mut schemas.entry(schema).or_default().read;
            if !read.contains(path) {
                read.push(path.clone());
            }
        }
        let answers = operations.iter().filter_map(|operation| operation.filtered_schema());
        for name in answers.flat_map(|schema| catalogue.with_nested(schema)) {
            if let Some(schema) = schemas.get_mut(name) {
                schema.is_returned = true;
            }
        }
        let read = vec![errors::TEXT.to_owned()];
        schemas.insert(errors::SCHEMA, SchemaPlan { is_filtered: true, is_returned: true, read, ..Default::default() });
        let (events, event_kinds) = (OnceLock::new(), OnceLock::new());
        Self { profile, catalogue: catalogue.still_packed(), limits, schemas, events, event_kinds }
    }

    /// The profile.
    pub(super) fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Whether the plan of a schema has been compiled.
    pub(super) fn has_compiled(&self, schema: &str) -> bool {
        let compiled = self.schemas.get(schema).and_then(|plan| plan.compiled.get()?.as_ref());
        compiled.is_some_and(|compiled| compiled.plan.is_some())
    }

    /// The names of the schemas.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.schemas.keys().copied()
    }

    /// The catalogue that plans are compiled from.
    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The plan of a schema. `None` if it does not compile, and then nothing of the schema is shown.
    pub(super) fn plan(&self, schema: &str) -> Option<Arc<Plan>> {
        self.compiled(schema)?.plan.clone()
    }

    /// The class of a field that requests of allowed operations read, if it is hidden because of its class alone.
    pub(super) fn hidden_class(&self, field: &ReadField) -> Option<Class> {
        self.compiled(&field.schema)?.shown.hidden_class(&field.path)
    }

    /// Whether a field that requests of allowed operations read is shown in full. No other field is.
    pub(super) fn shows(&self, field: &ReadField) -> bool {
        self.compiled(&field.schema).is_some_and(|compiled| compiled.shown.has(&field.path))
    }

    /// What happens to each event. `None` if that does not compile, and then no event is shown.
    pub(super) fn events(&self, schema: &str) -> Option<RecordFilter> {
        self.events.get_or_init(|| valid(self.event_filter(schema, &self.catalogue.still_packed()))).clone()
    }

    /// What events are. `None` if the program is damaged.
    pub(super) fn event_kinds(&self, schema: &str) -> Option<&EventKinds> {
        let found = self.event_kinds.get_or_init(|| {
            let catalogue = self.catalogue.still_packed();
            catalogue.variants(schema).map(|variants| EventKinds::new(variants, &catalogue))
        });
        found.as_ref()
    }

    /// Compiles what there is of a schema, unless that has been done.
    ///
    /// # Errors
    /// [`CompileError`].
    pub(super) fn compile(&self, schema: &str, catalogue: &Catalogue) -> Result<(), CompileError> {
        let Some(plan) = self.schemas.get(schema).filter(|plan| plan.compiled.get().is_none()) else { return Ok(()) };
        let compiled = self.compile_schema(schema, plan, catalogue)?;
        // If another thread was faster, its result is as good.
        let _ = plan.compiled.set(Some(compiled));
        Ok(())
    }

    /// Compiles what happens to events, unless that has been done.
    ///
    /// # Errors
    /// [`CompileError`].
    pub(super) fn compile_events(&self, schema: &str, catalogue: &Catalogue) -> Result<(), CompileError> {
        if self.events.get().is_none() {
            let _ = self.events.set(Some(self.event_filter(schema, catalogue)?));
        }
        Ok(())
    }

    fn event_filter(&self, schema: &str, catalogue: &Catalogue) -> Result<RecordFilter, CompileError> {
        let everything = Show { classes: ClassSet::ALL, unknown: true, ..Show::default() };
        let (show, rules) = match self.profile.events {
            StreamFiltering::Filtered => (&self.profile.show, self.profile.rules.as_slice()),
            // Those of hidden objects must be found.
            StreamFiltering::Untouched => (&everything, [].as_slice()),
        };
        RecordFilter::compile(catalogue, schema, show, rules, self.limits)
    }

    /// What was compiled for a schema.
    fn compiled(&self, schema: &str) -> Option<&CompiledSchema> {
        let plan = self.schemas.get(schema)?;
        let compiled = || valid(self.compile_schema(schema, plan, &self.catalogue.still_packed()));
        plan.compiled.get_or_init(compiled).as_ref()
    }

    fn compile_schema(
        &self,
        name: &str,
        schema: &SchemaPlan,
        catalogue: &Catalogue,
    ) -> Result<CompiledSchema, CompileError> {
        let Profile { show, rules, .. } = &*self.profile;
        let with_limits = |plan: Plan| schema.is_filtered.then(|| Arc::new(plan.with_limits(self.limits)));
        // Where other rules hide is in no explanation.
        if !schema.read.is_empty() && hide_by_name(rules, name, catalogue) {
            let paths: Vec<&str> = schema.read.iter().map(String::as_str).collect();
            let (plan, explained) = Plan::compile_explained(catalogue, name, show, rules, &paths)?;
            let read = explained.into_iter().filter(|line| paths.contains(&line.path.as_str()));
            return Ok(CompiledSchema { plan: with_limits(plan), shown: ShownFields::new(read, schema.is_returned) });
        }
        let plan = if schema.is_filtered { with_limits(Plan::compile(catalogue, name, show, rules)?) } else { None };
        Ok(CompiledSchema { plan, shown: ShownFields::default() })
    }
}

/// What was compiled. An error here has been looked for at the start, so the program is damaged, or the system gave no random key.
fn valid<T>(compiled: Result<T, CompileError>) -> Option<T> {
    compiled.inspect_err(|error| tracing::error!(%error, "cannot compile what a profile shows, and shows nothing")).ok()
}

/// Whether the rules that hide something in documents of a schema all select it by its name alone.
fn hide_by_name(rules: &[Rule], schema: &str, catalogue: &Catalogue) -> bool {
    let schemas = catalogue.with_nested(schema);
    let is_hiding = |rule: &&Rule| rule.action != Action::Keep && schemas.contains(&rule.on.as_str());
    rules.iter().filter(is_hiding).all(selects_by_name)
}
