//! What the program has built in. It is read and compiled once and shared by all tests of a process.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use dockveil::filter::Plan;
use dockveil::policy::Policy;
use dockveil::profile::{Profile, Profiles};
use dockveil::schema::Catalogue;

/// The built-in catalogue.
pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| dockveil::api::catalogue::built_in().unwrap());
    &CATALOGUE
}

/// The built-in profiles.
pub(crate) fn profiles() -> &'static Profiles {
    static PROFILES: LazyLock<Profiles> = LazyLock::new(|| Profiles::built_in(catalogue()).unwrap());
    &PROFILES
}

/// The built-in profile called `name`.
pub(crate) fn profile(name: &str) -> &'static Profile {
    profiles().get(name).unwrap_or_else(|| panic!("no profile {name}"))
}

/// Whether a built-in profile is for one client by name.
pub(crate) fn is_for_one_client(profile: &Profile) -> bool {
    profile.location.file.contains("/client/")
}

/// The plan of the built-in profile called `name` for documents of `schema`.
pub(crate) fn plan(name: &str, schema: &'static str) -> Arc<Plan> {
    static PLANS: Mutex<BTreeMap<(String, &str), Arc<Plan>>> = Mutex::new(BTreeMap::new());
    let compile = || {
        let profile = profile(name);
        Arc::new(Plan::compile(catalogue(), schema, &profile.show, &profile.rules).unwrap())
    };
    PLANS.lock().unwrap().entry((name.to_owned(), schema)).or_insert_with(compile).clone()
}

/// The policy of the built-in profile called `name`.
pub(crate) fn policy(name: &str) -> Arc<Policy> {
    static POLICIES: Mutex<BTreeMap<String, Arc<Policy>>> = Mutex::new(BTreeMap::new());
    let compile = || Arc::new(Policy::compile(profile(name), catalogue()).unwrap());
    POLICIES.lock().unwrap().entry(name.to_owned()).or_insert_with(compile).clone()
}
