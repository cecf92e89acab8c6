//! `helpline user`: accounts of staff, made beside the server by whoever holds the database's credentials.
//!
//! A password is never an argument: the command line is in everybody's process list and in the shell's history.

use std::io::{self, BufRead, Write};

use desk::{Account, NewAccount, Refused};
use wire::staff::{Staff, StaffRole};

use crate::Fault;
use crate::cli::{Role, User};
use crate::database::Database;
use crate::random;
use crate::settings::Settings;

/// Carries out one of the commands.
///
/// # Errors
/// What the desk refuses, in words; what keeps the database away.
pub(crate) async fn run(settings: &Settings, what: User) -> Result<(), Fault> {
    let database = Database::beside(settings).await?;
    let done = act(&database, what).await;
    database.close().await;
    done
}

async fn act(database: &Database, what: User) -> Result<(), Fault> {
    let (store, random) = (&database.store, &random::System);
    match what {
        User::Create {
            email,
            name,
            role,
            queue,
            password_stdin,
        } => {
            let wanted = NewAccount {
                email,
                name,
                role: role_of(role),
                password: password(password_stdin)?,
                queues: queue,
            };
            tell(desk::create_account(store, random, wanted).await, "Made")
        }
        User::ResetPassword { email, password_stdin } => {
            let password = password(password_stdin)?;
            let made = desk::reset_password(store, random, email, password).await;
            tell(made, "Changed the password and ended the sessions of")
        }
        User::List { json } => {
            let staff = desk::list_accounts(store).await.map_err(refused)?;
            let text = if json {
                serde_json::to_string_pretty(&staff).map_err(Fault::other)?
            } else {
                table(&staff)
            };
            // A reader that closed the pipe has seen enough.
            let _ = writeln!(io::stdout(), "{text}");
            Ok(())
        }
    }
}

fn tell(done: Result<Account, Refused>, what: &str) -> Result<(), Fault> {
    let account = done.map_err(refused)?;
    let staff = &account.staff;
    println!("{what} {} ({}), {}.", staff.staff_name, staff.email, word(staff.role));
    if let Some(password) = account.made_password {
        println!("Password, shown this once: {password}");
    }
    Ok(())
}

/// The first line of the standard input, when it is asked for.
fn password(stdin: bool) -> Result<Option<String>, Fault> {
    if !stdin {
        return Ok(None);
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Fault::other)?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A refusal as the operator reads it: its sentence, and the fields at fault.
fn refused(refused: Refused) -> Fault {
    let mut text = refused.to_string();
    for (field, fault) in &refused.fields {
        text.push_str(&format!("\n  {field}: {fault}"));
    }
    Fault::Other(text)
}

const fn role_of(role: Role) -> StaffRole {
    match role {
        Role::Agent => StaffRole::Agent,
        Role::TeamLead => StaffRole::TeamLead,
        Role::Supervisor => StaffRole::Supervisor,
        Role::Admin => StaffRole::Admin,
        Role::SuperAdmin => StaffRole::SuperAdmin,
    }
}

const fn word(role: StaffRole) -> &'static str {
    match role {
        StaffRole::Agent => "agent",
        StaffRole::TeamLead => "team_lead",
        StaffRole::Supervisor => "supervisor",
        StaffRole::Admin => "admin",
        StaffRole::SuperAdmin => "super_admin",
    }
}

fn table(staff: &[Staff]) -> String {
    let widest = |of: fn(&Staff) -> &str| staff.iter().map(|one| of(one).chars().count()).max().unwrap_or(0);
    let (name, email) = (widest(|one| &one.staff_name), widest(|one| &one.email));
    let line = |one: &Staff| {
        let state = if one.is_active { "" } else { "  inactive" };
        let text = format!(
            "{:name$}  {:email$}  {}{state}",
            one.staff_name,
            one.email,
            word(one.role)
        );
        text.trim_end().to_owned()
    };
    staff.iter().map(line).collect::<Vec<_>>().join("\n")
}
