//! What tells the elements of lists in the objects of a swarm from each other, for clients that edit them.

use crate::schema::ElementKey;

/// The members that say which element of a list is which. The engine allows only one element with a mount target; of the
/// others, two with one key are told apart only where they were shown differently.
pub const ELEMENT_KEYS: &[ElementKey] = &[
    key("ContainerSpec", "$.Configs", &["ConfigID"]),
    key("ContainerSpec", "$.Mounts", &["Target"]),
    key("ContainerSpec", "$.Secrets", &["SecretID"]),
    key("ContainerSpec", "$.Ulimits", &["Name"]),
    key("EndpointSpec", "$.Ports", &["Protocol", "TargetPort"]),
    key("PluginSpec", "$.PluginPrivilege", &["Name"]),
    key("PluginSpec", "$.privileges", &["name"]),
    key("ServiceSpec", "$.Networks", &["Target"]),
    key("Swarm", "$.Spec.CAConfig.ExternalCAs", &["Protocol", "URL"]),
    key("TaskSpec", "$.Networks", &["Target"]),
    key("TaskSpec", "$.Placement.Platforms", &["Architecture", "OS"]),
    key("TaskSpec", "$.Placement.Preferences", &["Spread.SpreadDescriptor"]),
];

const fn key(schema: &'static str, path: &'static str, members: &'static [&'static str]) -> ElementKey {
    ElementKey { schema, path, members }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalogue::built_in;

    /// A key that names nothing would tell nothing apart.
    #[test]
    fn every_key_is_a_member_of_the_elements_of_an_array() {
        let catalogue = built_in().unwrap();
        for ElementKey { schema, path, members } in ELEMENT_KEYS {
            let mut at = catalogue.schema(schema).unwrap().root();
            for name in path.split('.').skip(1) {
                at = at.members.get(name).unwrap_or_else(|| panic!("{schema} {path}"));
            }
            let mut element = at.elements.as_deref().unwrap_or_else(|| panic!("{schema} {path} is no array"));
            while let Some(nested) = element.nested.as_deref() {
                element = catalogue.schema(nested).unwrap().root();
            }
            for member in *members {
                let found = member.split('.').try_fold(element, |at, name| at.members.get(name));
                assert!(found.is_some_and(|field| field.class.is_some()), "{schema} {path} {member}");
            }
        }
    }
}
