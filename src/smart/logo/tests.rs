use super::*;

/// A grey square with words in it that are no pixels.
fn png(width: u32, height: u32, color: ColorType, depth: BitDepth) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder
        .add_text_chunk("Comment".to_owned(), "<script>".to_owned())
        .unwrap();
    let size = width as usize * height as usize * color.samples() * usize::from(depth as u8) / 8;
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&vec![0x7f; size]).unwrap();
    writer.finish().unwrap();
    bytes
}

/// A grey JPEG of 32 by 32 pixels.
const JPEG: &[u8] = include_bytes!("../../../tests/data/logo.jpg");

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn pictures_are_written_anew_with_nothing_but_their_pixels() {
    for color in [
        ColorType::Grayscale,
        ColorType::GrayscaleAlpha,
        ColorType::Rgb,
        ColorType::Rgba,
    ] {
        for depth in [BitDepth::Eight, BitDepth::Sixteen] {
            let mut sent = png(32, 64, color, depth);
            assert!(contains(&sent, b"<script>"));
            sent.extend(b"<html>after the end");
            let image = redrawn(Bytes::from(sent)).await.unwrap();
            assert!(!contains(&image, b"<script>") && !contains(&image, b"<html>"));
            // What was written is a picture of the same size.
            let again = of_png(&image).unwrap();
            assert_eq!((again.width, again.height), (32, 64));
            assert_eq!(again.pixels[0], 0x7f, "{color:?} {depth:?}");
        }
    }
    let mut sent = JPEG.to_vec();
    sent.extend(b"<html>after the end");
    let image = redrawn(Bytes::from(sent)).await.unwrap();
    assert!(image.starts_with(b"\x89PNG") && !contains(&image, b"<html>"));
    assert_eq!(of_png(&image).unwrap().width, 32);
}

#[tokio::test]
async fn what_is_no_small_picture_is_refused() {
    let good = || png(32, 32, ColorType::Rgb, BitDepth::Eight);
    let of = |width, height| png(width, height, ColorType::Grayscale, BitDepth::Eight);
    let cut = good()[..60].to_vec();
    let jpeg_cut = JPEG[..20].to_vec();
    // The header speaks of more pixels than there is memory for.
    let mut bomb = good();
    bomb[16..24].copy_from_slice(&[0x7f; 8]);
    for (sent, expected) in [
        (Vec::new(), LogoError::Unreadable),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            LogoError::Unreadable,
        ),
        (b"GIF89a".to_vec(), LogoError::Unreadable),
        (cut, LogoError::Unreadable),
        (jpeg_cut, LogoError::Unreadable),
        (bomb, LogoError::Unreadable),
        (of(31, 32), LogoError::Sides),
        (of(32, 257), LogoError::Sides),
        (vec![0; MOST_BYTES + 1], LogoError::TooLarge),
    ] {
        let start = sent.iter().take(12).copied().collect::<Vec<_>>();
        assert_eq!(redrawn(Bytes::from(sent)).await, Err(expected), "{start:?}");
    }
}
