//! `/activate`: code and birth date, then username and password (portal.md 5.1). Both steps check both: what
//! the first found out is kept nowhere.

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum_extra::extract::CookieJar;

use super::super::contact;
use super::super::factors::{self, FirstStep};
use super::super::pages::{Forms, Frame, PageError, page, traced};
use super::super::params::Params;
use super::super::settings::{email, password_problem, user_problem};
use super::super::throttle::Kind;
use super::super::users::{self, UserError};
use super::super::{SECOND, SmartState, here, mail, minors, password, sessions, upstream};
use super::{Checked, Code, Holder, Redeemed};
use crate::texts::{Language, Texts};

#[derive(Template)]
#[template(path = "smart/activate.html")]
struct CodePage {
    frame: Frame,
    form: String,
    code: String,
    month: String,
    day: String,
    year: String,
    problem: String,
    /// Whether the problem is with the code, and not with the birth date.
    is_code: bool,
    /// Whether it is one that another look at the papers may not mend: then what else can be done stands
    /// first (portal.md A9).
    is_refused: bool,
    /// Whether the account exists already.
    has_account: bool,
    /// Name and address of those who prove who somebody is.
    providers: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "smart/activate_account.html")]
struct AccountPage {
    frame: Frame,
    form: String,
    code: String,
    month: String,
    day: String,
    year: String,
    name: String,
    username: String,
    email: String,
    shortest: usize,
    sends_mail: bool,
    problem: String,
    /// Name of the field that the problem is about.
    field: &'static str,
}

pub(in crate::smart) async fn get(State(state): State<SmartState>, jar: CookieJar) -> Response {
    let nothing = Params::default();
    ask(&state, jar, &Typed::of(&nothing), None, true, false)
}

pub(in crate::smart) async fn post(
    State(state): State<SmartState>,
    jar: CookieJar,
    parts: Parts,
    body: Bytes,
) -> Response {
    activate(&state, jar, &parts, &body)
        .await
        .unwrap_or_else(|error| error.page(&state))
}

/// What was typed on the first page.
struct Typed<'a> {
    code: &'a str,
    month: &'a str,
    day: &'a str,
    year: &'a str,
}

impl<'a> Typed<'a> {
    fn of(params: &'a Params) -> Self {
        let text = |name: &'static str| params.first(name).unwrap_or_default().trim();
        Self {
            code: text("code"),
            month: text("month"),
            day: text("day"),
            year: text("year"),
        }
    }

    /// `2000-12-31`; none where there is no such day.
    fn birth_date(&self) -> Option<String> {
        let year = self.year.parse().ok().filter(|_| self.year.len() == 4)?;
        let date =
            jiff::civil::Date::new(year, self.month.parse().ok()?, self.day.parse().ok()?).ok()?;
        Some(date.to_string())
    }
}

async fn activate(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    body: &[u8],
) -> Result<Response, PageError> {
    let params = Params::from_form(&parts.headers, body).map_err(|_| PageError::Foreign)?;
    sessions::require_own(state, &jar, &parts.headers, params.first("form"))?;
    let typed = Typed::of(&params);
    let Some(code) = Code::parse(typed.code) else {
        return Ok(ask_again(state, jar, &typed, "activate-slip", true, false));
    };
    let Some(birth) = typed.birth_date() else {
        return Ok(ask_again(
            state,
            jar,
            &typed,
            "activate-birth-date",
            false,
            false,
        ));
    };
    let caller = state.caller(parts);
    let throttle = state.throttle();
    let name = code.as_str();
    if let Err(wait) = throttle.reserve(Kind::Activation, name, caller, false, state.pace()) {
        return Err(PageError::Wait((wait + SECOND - 1) / SECOND));
    }
    let undo = || throttle.undone(Kind::Activation, name, caller, state.pace());
    let checked = super::check(state, &code, &birth)
        .await
        .inspect_err(|_| undo())?;
    let holder = match checked {
        Checked::Good(holder) => holder,
        Checked::Used => {
            undo();
            return Ok(ask_again(state, jar, &typed, "activate-used", true, true));
        }
        Checked::Expired => {
            undo();
            return Ok(ask_again(
                state,
                jar,
                &typed,
                "activate-expired",
                true,
                false,
            ));
        }
        Checked::Wrong => {
            return Ok(ask_again(state, jar, &typed, "activate-wrong", true, false));
        }
    };
    undo();
    if params.first("username").is_none() {
        return Ok(choose(state, jar, &typed, &holder, &params, None));
    }
    create(state, jar, parts, &typed, &holder, &params).await
}

/// The second page's answer.
async fn create(
    state: &SmartState,
    jar: CookieJar,
    parts: &Parts,
    typed: &Typed<'_>,
    holder: &Holder,
    params: &Params,
) -> Result<Response, PageError> {
    let text = |name: &'static str| params.first(name).unwrap_or_default();
    let texts = Texts::here();
    let again = |problem: String, field| {
        Ok(choose(
            state,
            jar.clone(),
            typed,
            holder,
            params,
            Some((problem, field)),
        ))
    };
    let address = text("email").trim();
    if !address.is_empty() && !mail::is_address(address) {
        return again(texts.plain("email-wrong", []), "email");
    }
    if !address.is_empty() && minors::is_guardians(state, &holder.patient, address).await? {
        return again(texts.plain("email-guardian", []), "email");
    }
    if text("password") != text("repeated") {
        return again(texts.plain("password-differ", []), "repeated");
    }
    let redeemed = match super::redeem(state, holder, text("username"), text("password")).await {
        Ok(redeemed) => redeemed,
        Err(UserError::Store(error)) => return Err(error.into()),
        Err(UserError::Password(error)) => return again(password_problem(error)?, "password"),
        Err(error) => return again(user_problem(&error), "username"),
    };
    let account = match redeemed {
        Redeemed::Account(account) => account,
        Redeemed::Used => {
            return Ok(ask_again(state, jar, typed, "activate-used", true, true));
        }
        Redeemed::HasAccount => {
            return Ok(ask_again(
                state,
                jar,
                typed,
                "activate-has-account",
                true,
                true,
            ));
        }
    };
    if let Some(on_file) = &holder.on_file {
        contact::post(state, on_file, Language::here(), &mail::Letter::Activated);
    }
    if !address.is_empty() {
        email::ask_to_confirm(state, &account, address).await?;
    }
    let account = users::find_enabled(state.store().reader(), &account)
        .await?
        .ok_or(PageError::OtherAccount)?;
    let target = if address.is_empty() {
        "/settings?done=activated"
    } else {
        "/settings?done=activated-mail"
    };
    let first = FirstStep {
        account: &account,
        target,
        signed_in: None,
        methods: factors::PASSWORD,
        is_kiosk: here::is_kiosk(),
        parts,
    };
    Ok(factors::after_first_step(state, jar, &first).await?)
}

/// The first page again, with what is wrong.
fn ask_again(
    state: &SmartState,
    jar: CookieJar,
    typed: &Typed<'_>,
    problem: &'static str,
    is_code: bool,
    has_account: bool,
) -> Response {
    let problem = traced(&Texts::here().plain(problem, []), problem, None);
    ask(state, jar, typed, Some(problem), is_code, has_account)
}

/// The first page.
fn ask(
    state: &SmartState,
    jar: CookieJar,
    typed: &Typed<'_>,
    problem: Option<String>,
    is_code: bool,
    has_account: bool,
) -> Response {
    let status = if problem.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let (jar, form) = sessions::anonymous_form(state, jar);
    let template = CodePage {
        frame: Frame::new(state, None),
        form,
        code: typed.code.chars().take(40).collect(),
        month: typed.month.chars().take(4).collect(),
        day: typed.day.chars().take(4).collect(),
        year: typed.year.chars().take(8).collect(),
        is_refused: problem.is_some() && is_code && !has_account,
        problem: problem.unwrap_or_default(),
        is_code,
        has_account,
        providers: upstream::proofs(state),
    };
    (jar, page(state, status, Forms::Own, &template)).into_response()
}

/// The second page.
fn choose(
    state: &SmartState,
    jar: CookieJar,
    typed: &Typed<'_>,
    holder: &Holder,
    params: &Params,
    problem: Option<(String, &'static str)>,
) -> Response {
    let (jar, form) = sessions::anonymous_form(state, jar);
    let status = if problem.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let (problem, field) = problem.unwrap_or_default();
    let kept = |name: &'static str| params.first(name).unwrap_or_default().to_owned();
    let template = AccountPage {
        frame: Frame::new(state, None),
        form,
        code: typed.code.to_owned(),
        month: typed.month.to_owned(),
        day: typed.day.to_owned(),
        year: typed.year.to_owned(),
        name: holder.name.clone(),
        username: kept("username"),
        email: kept("email"),
        shortest: password::SHORTEST,
        sends_mail: state.outbox().is_there(),
        problem,
        field,
    };
    (jar, page(state, status, Forms::Own, &template)).into_response()
}
