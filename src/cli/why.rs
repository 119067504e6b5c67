//! Why, and by whom: what every change takes, for the audit.

use super::server::encoded;
use clap::Args;

/// Why, and by whom.
#[derive(Args, Clone, Debug, Default)]
pub struct WhyArgs {
    /// Why, for those who read it later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who you are, where several share one user
    #[arg(long = "as", value_name = "NAME")]
    pub who: Option<String>,
}

impl WhyArgs {
    /// The same for a query string: `&reason=…&as=…`.
    pub(super) fn query(&self) -> String {
        let said = [("reason", &self.reason), ("as", &self.who)];
        let said = said.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        said.map(|(name, value)| format!("&{name}={}", encoded(value))).collect()
    }
}
