//! Staff: sign-in, presence, the records that admins keep.

use uuid::Uuid;

use crate::{Time, wire};

wire! {
    /// The five roles, least first.
    pub enum StaffRole {
        /// Handles contacts.
        Agent,
        /// Monitors and reassigns within the team.
        TeamLead,
        /// Manages teams, reviews recordings.
        Supervisor,
        /// Manages staff and settings.
        Admin,
        /// Everything.
        SuperAdmin,
    }
}

wire! {
    /// What an agent has chosen.
    pub enum PresenceStatus {
        /// Takes contacts.
        Online,
        /// Takes none for a while.
        Away,
        /// Gone.
        Offline,
    }
}

wire! {
    /// Body of `POST /api/support/auth/login`.
    pub struct SignIn {
        /// E-mail of the account.
        pub email: String,
        /// Password.
        pub password: String,
    }
}

wire! {
    /// The signed-in member of staff (`POST /api/support/auth/login`, `GET /api/support/staff/me`).
    pub struct Me {
        /// The staff row.
        pub staff_id: Uuid,
        /// Display name.
        pub staff_name: String,
        /// E-mail.
        pub email: String,
        /// Role.
        pub role: StaffRole,
        /// What the role may do.
        pub permissions: Vec<String>,
        /// Chosen presence.
        pub presence: PresenceStatus,
        /// When this session ends at the latest.
        pub session_ends_at: Time,
    }
}

wire! {
    /// Body of `PUT /api/support/staff/me/status` and data of `presence.set`.
    pub struct PresenceSet {
        /// Chosen presence.
        pub status: PresenceStatus,
        /// Why away.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub reason: Option<String>,
        /// True when the microphone was just checked; needed to be offered calls.
        #[serde(default)]
        pub media_checked: bool,
    }
}

wire! {
    /// A member of staff as admins see it; names as in the integration guide's table.
    pub struct Staff {
        /// The row.
        pub id: Uuid,
        /// Subject of the linked account; the id itself when there is none.
        pub user_id: String,
        /// Display name.
        pub staff_name: String,
        /// E-mail.
        pub email: String,
        /// Role.
        pub role: StaffRole,
        /// Chosen presence.
        pub status: PresenceStatus,
        /// False: may not sign in.
        pub is_active: bool,
        /// Chats at the same time.
        pub max_concurrent_chats: u32,
        /// Calls at the same time.
        pub max_concurrent_calls: u32,
        /// Chats now.
        pub current_chat_count: u32,
        /// Calls now.
        pub current_call_count: u32,
        /// When it was added.
        pub created_at: Time,
    }
}

wire! {
    /// `GET /api/support/staff`.
    pub struct StaffList {
        /// By name.
        pub staff: Vec<Staff>,
    }
}

wire! {
    /// A colleague whom one may consult.
    pub struct AvailableStaff {
        /// Who.
        pub staff_id: Uuid,
        /// Display name.
        pub name: String,
        /// Role.
        pub role: StaffRole,
        /// Chosen presence.
        pub status: PresenceStatus,
        /// True when he could be asked now.
        pub free: bool,
    }
}

wire! {
    /// `GET /api/support/staff/available`.
    pub struct StaffAvailable {
        /// By name, without oneself.
        pub staff: Vec<AvailableStaff>,
    }
}

wire! {
    /// Body of `POST /api/support/staff`.
    pub struct StaffCreate {
        /// E-mail; unique.
        pub email: String,
        /// Display name.
        pub staff_name: String,
        /// Role.
        pub role: StaffRole,
        /// First password; 12 characters at least.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub password: Option<String>,
        /// Queues to serve; the default queue when empty.
        #[serde(default)]
        pub queues: Vec<String>,
        /// Calls at the same time.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub max_concurrent_calls: Option<u32>,
    }
}

wire! {
    /// Body of `PATCH /api/support/staff/{id}`; absent fields stay.
    pub struct StaffUpdate {
        /// Display name.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub staff_name: Option<String>,
        /// Role.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub role: Option<StaffRole>,
        /// False: signed out everywhere, may not sign in.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub is_active: Option<bool>,
        /// Calls at the same time.
        #[serde(default)]
        #[cfg_attr(test, ts(optional = nullable))]
        pub max_concurrent_calls: Option<u32>,
    }
}

wire! {
    /// Reply to `POST /api/support/staff/{id}/sessions`, service keys only: a session without a password.
    pub struct StaffSession {
        /// The staff row.
        pub staff_id: Uuid,
        /// Bearer token of the session.
        pub token: String,
        /// When it ends at the latest.
        pub ends_at: Time,
    }
}
