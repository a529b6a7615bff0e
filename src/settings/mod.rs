//! Floor 7, what surrounds this process: environment variables, the repository, the state directory,
//! the person, the terminal, the clock. Nothing else reads them.

mod actor;
mod clock;
mod error;
mod identity;
mod owner;
mod repository;
mod resolve;
mod secrets;
mod state_dir;
mod terminal;
mod variables;

pub use actor::current_actor;
pub use clock::SystemClock;
pub use error::SettingsError;
pub use identity::{Identity, VotingKey, VotingKeys};
pub use owner::current_owner;
pub use repository::Repository;
pub use resolve::{Overrides, Settings, remote_from};
pub use secrets::secret_access;
pub use state_dir::StateDir;
pub use terminal::Terminal;
pub use variables::{Variables, arguments};
