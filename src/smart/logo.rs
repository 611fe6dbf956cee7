//! Logos of apps (portal.md 5.17): what a developer sends is read as a picture and written anew, so that
//! nothing but its pixels reaches a person's browser, and served from this origin.

use std::io::Cursor;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use png::{BitDepth, ColorType, Transformations};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _,
};
use thiserror::Error;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::SmartState;
use super::entities::client;
use super::pages::PageError;
use super::secret;
use crate::clock::Millis;
use crate::sql::Sql;

/// Of what is sent.
pub(super) const MOST_BYTES: usize = 200 * 1024;
/// Of each side, in pixels.
const SIDES: std::ops::RangeInclusive<usize> = 32..=256;
/// What reading a PNG may take: its pixels at 16 bits, and as much again.
const MOST_MEMORY: usize = 2 * 256 * 256 * 8;

/// Why something is no logo.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum LogoError {
    #[error("a logo has at most 200 KB")]
    TooLarge,
    #[error("a logo is a PNG or JPEG picture that can be read")]
    Unreadable,
    #[error("a logo has 32 to 256 pixels on each side")]
    Sides,
}

/// Where a browser finds a logo; empty where there is none.
pub(super) fn address(state: &SmartState, client: &client::Model) -> String {
    let hash = client.logo.as_ref();
    hash.map(|hash| state.path(&format!("/apps/logo/{hash}")))
        .unwrap_or_default()
}

/// The picture that was sent, written anew. Beside the requests, because it takes milliseconds; a decoder that
/// ends badly ends this picture and nothing else.
pub(super) async fn redrawn(sent: Bytes) -> Result<Vec<u8>, LogoError> {
    if sent.len() > MOST_BYTES {
        return Err(LogoError::TooLarge);
    }
    tokio::task::spawn_blocking(move || redraw(&sent))
        .await
        .unwrap_or(Err(LogoError::Unreadable))
}

/// Pixels, eight bits each.
struct Picture {
    width: usize,
    height: usize,
    color: ColorType,
    pixels: Vec<u8>,
}

fn redraw(sent: &[u8]) -> Result<Vec<u8>, LogoError> {
    let picture = if sent.starts_with(b"\x89PNG\r\n\x1a\n") {
        of_png(sent)?
    } else if sent.starts_with(b"\xff\xd8\xff") {
        of_jpeg(sent)?
    } else {
        return Err(LogoError::Unreadable);
    };
    written(&picture).map_err(|_| LogoError::Unreadable)
}

fn sides(width: usize, height: usize) -> Result<(), LogoError> {
    let fits = SIDES.contains(&width) && SIDES.contains(&height);
    fits.then_some(()).ok_or(LogoError::Sides)
}

fn of_png(sent: &[u8]) -> Result<Picture, LogoError> {
    let unreadable = |_| LogoError::Unreadable;
    let limits = png::Limits { bytes: MOST_MEMORY };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(sent), limits);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(unreadable)?;
    let (width, height) = (header.width as usize, header.height as usize);
    sides(width, height)?;
    let mut reader = decoder.read_info().map_err(unreadable)?;
    let size = reader.output_buffer_size().ok_or(LogoError::Unreadable)?;
    let mut pixels = vec![0; size];
    // Of an animation, its first picture.
    let frame = reader.next_frame(&mut pixels).map_err(unreadable)?;
    pixels.truncate(frame.buffer_size());
    let is_whole = frame.width as usize == width && frame.height as usize == height;
    if !is_whole || frame.bit_depth != BitDepth::Eight {
        return Err(LogoError::Unreadable);
    }
    Ok(Picture {
        width,
        height,
        color: frame.color_type,
        pixels,
    })
}

fn of_jpeg(sent: &[u8]) -> Result<Picture, LogoError> {
    let options = DecoderOptions::new_safe()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_max_width(4096)
        .set_max_height(4096);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(sent), options);
    decoder
        .decode_headers()
        .map_err(|_| LogoError::Unreadable)?;
    let info = decoder.info().ok_or(LogoError::Unreadable)?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    sides(width, height)?;
    let pixels = decoder.decode().map_err(|_| LogoError::Unreadable)?;
    if pixels.len() != width * height * 3 {
        return Err(LogoError::Unreadable);
    }
    Ok(Picture {
        width,
        height,
        color: ColorType::Rgb,
        pixels,
    })
}

fn written(picture: &Picture) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let side = |side: usize| u32::try_from(side).unwrap_or_default();
    let mut encoder = png::Encoder::new(&mut bytes, side(picture.width), side(picture.height));
    encoder.set_color(picture.color);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// Puts a logo in the place of an app's, or takes it away. What the hospital approved looked otherwise.
pub(super) async fn replace(
    connection: &impl ConnectionTrait,
    client: &client::Model,
    image: Option<Vec<u8>>,
    now: Millis,
) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let hash = image.as_deref().map(secret::fingerprint);
    if let (Some(hash), Some(image)) = (&hash, image) {
        let mut insert = Sql::default();
        let (hash, image) = (insert.bind(hash.as_str()), insert.bind(image));
        let now = insert.bind(now);
        insert.push(&format!(
            "INSERT INTO app_logo (hash, image, created) VALUES ({hash}, {image}, {now}) \
             ON CONFLICT (hash) DO NOTHING"
        ));
        connection.execute_raw(insert.statement(backend)).await?;
    }
    client::Entity::update_many()
        .col_expr(client::Column::Logo, Expr::value(hash.clone()))
        .col_expr(client::Column::Approved, Expr::value(Option::<i64>::None))
        .filter(client::Column::ClientId.eq(client.client_id.as_str()))
        .exec(connection)
        .await?;
    if let Some(before) = client
        .logo
        .as_ref()
        .filter(|before| hash.as_ref() != Some(*before))
    {
        let users = client::Entity::find()
            .filter(client::Column::Logo.eq(before.as_str()))
            .count(connection)
            .await?;
        if users == 0 {
            let mut delete = Sql::new("DELETE FROM app_logo WHERE hash = ");
            let hash = delete.bind(before.as_str());
            delete.push(&hash);
            connection.execute_raw(delete.statement(backend)).await?;
        }
    }
    Ok(())
}

/// `GET /apps/logo/{hash}`. No browser keeps it: whose logos are there tells which apps somebody uses.
pub(super) async fn get(State(state): State<SmartState>, Path(hash): Path<String>) -> Response {
    match find(&state, &hash).await {
        Ok(Some(image)) => (
            [
                (header::CONTENT_TYPE, "image/png"),
                (header::CACHE_CONTROL, "no-store"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (
                    header::CONTENT_SECURITY_POLICY,
                    "default-src 'none'; sandbox",
                ),
            ],
            image,
        )
            .into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => PageError::from(error).page(&state),
    }
}

async fn find(state: &SmartState, hash: &str) -> Result<Option<Vec<u8>>, DbErr> {
    // PostgreSQL refuses NUL in text.
    if hash.contains('\0') {
        return Ok(None);
    }
    let mut select = Sql::new("SELECT image FROM app_logo WHERE hash = ");
    let bound = select.bind(hash);
    select.push(&bound);
    let store = state.store();
    let statement = select.statement(store.backend());
    let row = store.reader().query_one_raw(statement).await?;
    row.map(|row| row.try_get_by_index(0)).transpose()
}

#[cfg(test)]
mod tests;
