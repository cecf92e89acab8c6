//! The command line. Says what can be asked; does nothing.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Media server for customer support: calls, queue, recordings, consoles.
#[derive(Parser, Debug)]
#[command(name = "helpline", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run the server.
    Serve(Serve),
    /// Bring the database to this program's schema, or say where it stands.
    Migrate {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        what: Migrate,
    },
    /// Configuration.
    Config {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        what: ConfigWhat,
    },
    /// Accounts of staff: the first admin, a forgotten password. Works while the server runs and while it does not.
    User {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        what: User,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Print name, version and schema version.
    Version {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Where the configuration comes from.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct Place {
    /// Configuration file (TOML).
    #[arg(long, env = "HELPLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for recordings, spool and the private database.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug, Default)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Demo staff, a demo customer page, no token needed from this very machine. Never for real customers.
    #[arg(long)]
    pub(crate) demo: bool,
    /// Bring the schema up to date at the start. Always so with the private database.
    #[arg(long)]
    pub(crate) auto_migrate: bool,
    /// Print one JSON object with all addresses once everything listens; with --demo also accounts and service key.
    #[arg(long)]
    pub(crate) print_addresses: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Migrate {
    /// Apply what is missing.
    Up,
    /// Say which migrations are applied; exit code 1 when some are missing.
    Status,
}

#[derive(Subcommand, Debug)]
pub(crate) enum User {
    /// Add a member of staff who can sign in at once.
    Create {
        /// E-mail to sign in with.
        #[arg(long)]
        email: String,
        /// Display name.
        #[arg(long)]
        name: String,
        /// What this person may do.
        #[arg(long, value_enum, default_value_t = Role::Agent)]
        role: Role,
        /// Queues to serve; repeat it. Default: the default queue for an agent, none for others.
        #[arg(long)]
        queue: Vec<String>,
        /// Read the password from the standard input. Default: one is made and shown once.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give an active member of staff another password and end all sessions of this account.
    ResetPassword {
        /// E-mail of the account.
        email: String,
        /// Read the password from the standard input. Default: one is made and shown once.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Everybody, by name.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The roles, spelt as in the API.
#[derive(ValueEnum, Clone, Copy, Debug)]
#[value(rename_all = "snake_case")]
pub(crate) enum Role {
    Agent,
    TeamLead,
    Supervisor,
    Admin,
    SuperAdmin,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigWhat {
    /// Load and check the configuration.
    Check,
    /// Print a sample file with every key, its meaning and default.
    Template,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
