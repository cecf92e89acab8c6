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
    /// Ask the running server of this machine how it is; exit code 1 when it does not live, or nobody answers.
    ///
    /// For the health check of a container. The server is found by its configuration, as by `turn check`.
    Health(Health),
    /// TURN: what browsers behind closed networks need.
    Turn {
        #[command(subcommand)]
        what: Turn,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Print name, version and the newest migration of the schema that it works with.
    Version {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Where the configuration comes from. Before or after a command of a command: `config check --config FILE` is what
/// people type.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct Place {
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "HELPLINE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for recordings, spool and the private database.
    #[arg(long, global = true, value_name = "DIR")]
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
    /// End with an error when a thread of media or of the relay has stood still for a minute. For containers, whose runtime
    /// restarts what has ended and not what hangs; systemd's watchdog needs none of it.
    #[arg(long)]
    pub(crate) end_if_hung: bool,
}

/// See [`Command::Health`].
#[derive(Args, Debug)]
pub(crate) struct Health {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Ask whether new calls may come, and not only whether it lives.
    #[arg(long)]
    pub(crate) ready: bool,
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

#[derive(Subcommand, Debug)]
pub(crate) enum Turn {
    /// Try a TURN server as a browser does, over UDP, TCP and TLS; exit code 1 when something is wrong.
    ///
    /// Without --user or --secret-from the running server of this machine is asked for credentials, as it gives them to
    /// browsers: found by its configuration, entered with its first service key.
    Check(TurnCheck),
}

/// See [`Turn::Check`].
#[derive(Args, Debug)]
pub(crate) struct TurnCheck {
    /// Name that browsers are told, or address.
    pub(crate) host: String,
    /// Look at these addresses and not at those that the name has; several with several options.
    #[arg(long = "address", value_name = "IP")]
    pub(crate) addresses: Vec<std::net::IpAddr>,
    /// Port of STUN and of TURN over UDP and TCP.
    #[arg(long, default_value_t = turn_relay::PORTS[0], value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Port of TURN over TLS, and the second one of STUN.
    #[arg(long, default_value_t = turn_relay::PORTS[1], value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) tls_port: u16,
    /// User name to try.
    #[arg(long, requires = "credential")]
    pub(crate) user: Option<String>,
    /// Its password. The environment is not in everybody's process list.
    #[arg(
        long,
        requires = "user",
        env = "HELPLINE_TURN_CHECK_CREDENTIAL",
        hide_env_values = true
    )]
    pub(crate) credential: Option<String>,
    /// File with the secret that a foreign TURN server shares with us (coturn: static-auth-secret).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["user", "credential"])]
    pub(crate) secret_from: Option<PathBuf>,
    /// A foreign relay that is meant to lead anywhere: does not try to get to other addresses through it.
    #[arg(long)]
    pub(crate) external: bool,
    /// Seconds that each thing may take.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) timeout_s: u64,
    /// One JSON object instead of lines.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) place: Place,
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
    use std::path::Path;

    use super::{Cli, Command, Place, Turn};
    use clap::{CommandFactory, Parser};

    fn place(line: &str) -> Place {
        match Cli::try_parse_from(line.split(' ')).expect("a command line").command {
            Command::Migrate { place, .. } | Command::Config { place, .. } | Command::User { place, .. } => place,
            Command::Serve(serve) => serve.place,
            Command::Health(health) => health.place,
            Command::Turn {
                what: Turn::Check(check),
            } => check.place,
            other => panic!("{other:?} has no place"),
        }
    }

    #[test]
    fn the_configuration_is_named_before_or_after_the_last_word() {
        for line in [
            "helpline config --config F --data-dir D check",
            "helpline config check --config F --data-dir D",
            "helpline migrate up --data-dir D --config F",
            "helpline migrate --config F status --data-dir D",
            "helpline user list --config F --data-dir D",
            "helpline user create --email a@b.c --name A --config F --data-dir D",
            "helpline serve --config F --data-dir D",
            "helpline health --config F --data-dir D",
            "helpline turn check h --config F --data-dir D",
        ] {
            let place = place(line);
            assert_eq!(place.config.as_deref(), Some(Path::new("F")), "{line}");
            assert_eq!(place.data_dir.as_deref(), Some(Path::new("D")), "{line}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
