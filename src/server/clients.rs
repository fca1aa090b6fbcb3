//! The policy of each connection: whose it is, and what that client may request and see.

use std::sync::Arc;

use crate::clients::{Caller, ClientMatch};
use crate::config::ClientRule;
use crate::proxy::{ClientRefusal, Proxy};

/// The proxies of one listener in one worker.
#[derive(Debug)]
pub(super) enum ListenerProxies {
    /// One for everybody.
    Everybody(Arc<Proxy>),
    /// One for each line of `clients`.
    Listed {
        /// The lines in their order.
        lines: Vec<(ClientRule, Arc<Proxy>)>,
        /// For clients that no line names.
        unnamed: Arc<Proxy>,
    },
}

impl ListenerProxies {
    /// The proxies of a listener: `proxy` has the policy of everybody, or of nobody if it lists clients.
    pub(super) fn new(proxy: Proxy, clients: Option<&Arc<[ClientRule]>>) -> Self {
        let Some(rules) = clients else { return Self::Everybody(Arc::new(proxy)) };
        let of_line = |rule: &ClientRule| {
            let proxy = Proxy { policy: rule.policy.clone(), ..proxy.clone() };
            (rule.clone(), Arc::new(proxy))
        };
        let lines = rules.iter().map(of_line).collect();
        Self::Listed { lines, unnamed: Arc::new(Proxy { refused: Some(ClientRefusal::Unnamed), ..proxy }) }
    }

    /// The proxy of a client: that of the first line that names it.
    pub(super) fn choose(&self, caller: &Caller) -> Arc<Proxy> {
        match self {
            Self::Everybody(proxy) => proxy.clone(),
            Self::Listed { lines, unnamed } => {
                let named = lines.iter().find(|(rule, _)| rule.selector.matches(caller) == ClientMatch::Named);
                named.map_or(unnamed, |(_, proxy)| proxy).clone()
            }
        }
    }
}
