//! `/apps/directory`: apps whose makers were verified, with what they say of themselves, for everybody.
//! In order of the alphabet and not rated: whatever works with this server may connect.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};

use crate::smart::clients::ClientKind;
use crate::smart::consent::told::ToldView;
use crate::smart::entities::{client, registration};
use crate::smart::pages::{Forms, Frame, PageError, page};
use crate::smart::{SmartState, logo, sessions};

#[derive(Template)]
#[template(path = "smart/directory.html")]
struct DirectoryPage {
    frame: Frame,
    /// Name, address of the logo, and what its maker says.
    apps: Vec<(String, String, ToldView)>,
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    show(&state, &jar)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

async fn show(state: &SmartState, jar: &CookieJar) -> Result<Response, PageError> {
    let session = sessions::load(state, jar).await?;
    let reader = state.store().reader();
    // What anybody may have registered under any name is not put on a page of ours.
    let verified = registration::Entity::find()
        .filter(registration::Column::Verified.is_not_null())
        .all(reader)
        .await?;
    let ids = verified.into_iter().map(|clock| clock.client_id);
    let mut found = client::Entity::find()
        .filter(client::Column::ClientId.is_in(ids))
        .filter(client::Column::Disabled.is_null())
        .filter(client::Column::Kind.ne(ClientKind::Backend.name()))
        .all(reader)
        .await?;
    found.sort_by_key(|client| (client.name.to_lowercase(), client.client_id.clone()));
    let template = DirectoryPage {
        frame: Frame::new(state, session.as_ref()),
        apps: found
            .into_iter()
            .map(|client| {
                let told = ToldView::new(&client.told());
                (client.name.clone(), logo::address(state, &client), told)
            })
            .collect(),
    };
    Ok(page(state, StatusCode::OK, Forms::Own, &template))
}
