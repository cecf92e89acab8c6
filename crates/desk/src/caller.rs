//! Who asks, as the edges have verified it, and what he may do.

use call_model::{StaffId, UserId};
use wire::staff::StaffRole;

use crate::refusal::{Code, Refused};
use crate::tx::Ctx;
use crate::views::role_word;

/// How a customer has proved who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerVia {
    /// A verified token of the host application.
    Token,
    /// A ticket or pass of a call that he started.
    Ticket,
    /// A service key speaks for him.
    Service,
}

/// An authenticated caller. Made only by `auth`, or by the rule of the demo.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A customer.
    Customer {
        /// The subject of his token.
        user_id: UserId,
        /// Display name of the token, if it has one.
        name: Option<String>,
        /// E-mail of the token, if it has one.
        email: Option<String>,
        /// How he has proved it.
        via: CustomerVia,
    },
    /// A signed-in member of staff.
    Staff {
        /// Who.
        staff: StaffId,
        /// The role of his row.
        role: StaffRole,
        /// SHA-256 of the session's token.
        session: [u8; 32],
    },
    /// A service key: may act for a customer and make sessions for staff; has no rate limit.
    Service {
        /// Name of the key in the configuration.
        name: String,
    },
    /// `--demo`, from this machine, without a token: the guide's own requests.
    Demo,
}

impl Caller {
    /// In whose name rows are looked at.
    pub(crate) fn ctx(&self) -> Ctx {
        match self {
            Caller::Customer { user_id, .. } => Ctx::Customer(user_id.clone()),
            Caller::Staff { staff, role, .. } => Ctx::Staff {
                staff: *staff,
                role: role_word(*role),
            },
            Caller::Service { .. } | Caller::Demo => Ctx::System("service"),
        }
    }

    /// The member of staff.
    ///
    /// # Errors
    /// `forbidden` for everybody else.
    pub(crate) fn staff(&self) -> Result<(StaffId, StaffRole), Refused> {
        match self {
            Caller::Staff { staff, role, .. } => Ok((*staff, *role)),
            Caller::Customer { .. } | Caller::Service { .. } | Caller::Demo => Err(Refused::new(Code::Forbidden)),
        }
    }

    /// Id and role for the audit log.
    pub(crate) fn audit_name(&self) -> (String, &'static str) {
        match self {
            Caller::Customer { user_id, .. } => (user_id.as_str().to_owned(), "customer"),
            Caller::Staff { staff, role, .. } => (uuid::Uuid::from_u128(staff.0).to_string(), role_word(*role)),
            Caller::Service { name } => (name.clone(), "service"),
            Caller::Demo => ("demo".to_owned(), "service"),
        }
    }
}

/// Whether a call was made or was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This request made it.
    New,
    /// The customer has a live one.
    Existing,
}
