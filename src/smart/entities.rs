//! The tables of `migrations/sql/0002_accounts.sql` and what later files add, column by column. What they
//! mean is said there.

/// An OAuth client: an app or a backend.
pub mod client {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "oauth_client")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub client_id: String,
        pub name: String,
        pub kind: String,
        pub class: String,
        pub person: Option<String>,
        pub secret: Option<Vec<u8>>,
        pub jwks: Option<String>,
        pub jwks_uri: Option<String>,
        pub redirect_uris: String,
        pub scope: String,
        pub id_token_alg: String,
        pub created: i64,
        pub disabled: Option<i64>,
        pub post_logout_redirect_uris: Option<String>,
        pub facts: Option<String>,
        pub launch_uri: Option<String>,
        pub catalogue: Option<String>,
        /// When the hospital approved it for its staff, who are asked for no consent then.
        pub approved: Option<i64>,
        pub introspects: Option<i16>,
        pub logo: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The clock of a client's registration.
pub mod registration {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "client_registration")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub client_id: String,
        pub origin: String,
        pub received: i64,
        pub verified: Option<i64>,
        pub enabled: Option<i64>,
        pub owner: Option<String>,
        pub issuer: Option<String>,
        pub removed: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Who somebody of an OpenID provider is here.
pub mod upstream_identity {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "upstream_identity")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub issuer: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub subject: String,
        pub account: String,
        pub created: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Someone who signs in.
pub mod account {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "account")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub username: String,
        pub name: String,
        pub role: String,
        pub password: String,
        pub practitioner: Option<String>,
        pub created: i64,
        pub disabled: Option<i64>,
        pub must_change: Option<i64>,
        /// How sure it is who has it: the level of NIST SP 800-63A, 0 where nobody says.
        pub ial: i16,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A patient whose record an account may open.
pub mod record {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "account_record")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub account: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub patient: String,
        pub related_person: Option<String>,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A signed-in browser.
pub mod session {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "session")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: Vec<u8>,
        pub account: String,
        pub created: i64,
        pub seen: i64,
        pub agent: String,
        pub methods: String,
        /// When they showed who they are; none: when it was created.
        pub signed_in: Option<i64>,
        /// Whether it is a shared terminal: 1, else 0.
        pub kiosk: i16,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An authorization request that waits for a person's answer.
pub mod request {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "authorize_request")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub client_id: String,
        pub redirect_uri: String,
        pub state: String,
        pub scope: String,
        pub code_challenge: String,
        pub nonce: Option<String>,
        pub fresh_after: i64,
        pub account: Option<String>,
        pub patient: Option<String>,
        pub created: i64,
        pub expires: i64,
        pub context: Option<String>,
        pub login_hint: Option<String>,
        pub must_ask: i16,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What was granted to a client.
pub mod grant {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "auth_grant")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub client_id: String,
        pub account: Option<String>,
        pub class: String,
        pub person: Option<String>,
        pub patient: Option<String>,
        pub scope: String,
        pub auth_time: i64,
        pub created: i64,
        pub used: Option<i64>,
        pub revoked: Option<i64>,
        pub context: Option<String>,
        pub catalogue: Option<String>,
        pub asked: Option<String>,
        pub facts: Option<String>,
        pub ends: Option<i64>,
        pub read: Option<i64>,
        pub read_types: Option<String>,
        pub methods: String,
        /// Of the account, as it was then.
        pub ial: i16,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An authorization code.
pub mod code {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "auth_code")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: Vec<u8>,
        pub grant_id: String,
        pub redirect_uri: String,
        pub code_challenge: String,
        pub nonce: Option<String>,
        pub expires: i64,
        pub used: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An access or refresh token.
pub mod token {
    use sea_orm::entity::prelude::*;

    /// `kind` of an access token.
    pub const ACCESS: i16 = 1;
    /// `kind` of a refresh token.
    pub const REFRESH: i16 = 2;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "auth_token")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub hash: Vec<u8>,
        pub grant_id: String,
        pub kind: i16,
        pub scope: String,
        pub created: i64,
        pub expires: i64,
        pub used: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A key that signs id_tokens.
pub mod signing_key {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub kid: String,
        pub alg: String,
        pub pem: String,
        pub created: i64,
        pub retired: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
