"""What the header says about the pixels: shape, sample width and colour, in plain integers."""

from __future__ import annotations

from dataclasses import dataclass

from imaging.errors import PixelDataInvalid

MAX_NUMBER_OF_FRAMES = 2**31 - 1
"""The largest value an IS can hold (PS3.5 6.2)."""


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel attributes of one instance (PS3.3 C.7.6.3), as integers of any size: nothing is allocated.

    `bits_allocated` is 1 or a multiple of 8. `planar_configuration` is None where the header has none (one sample a
    pixel). `is_float` is true for Float (7FE0,0008) and Double Float Pixel Data (7FE0,0009), which have no Bits Stored
    of their own: `bits_stored` is `bits_allocated` there.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    planar_configuration: int | None = None
    number_of_frames: int = 1
    is_float: bool = False

    @property
    def samples_per_frame(self) -> int:
        """Samples of one decoded frame: rows * columns * samples a pixel."""
        return self.rows * self.columns * self.samples_per_pixel

    @property
    def native_samples_per_frame(self) -> int:
        """Samples of one frame as native pixel data has them; YBR_FULL_422 keeps two of three (PS3.3 C.7.6.3.1.2)."""
        if self.photometric_interpretation == "YBR_FULL_422" and self.samples_per_pixel == 3:
            return self.rows * self.columns * 2
        return self.samples_per_frame

    @property
    def native_frame_bits(self) -> int:
        """Bits of one frame in native pixel data; frames of 1 bit a sample follow each other without padding."""
        return self.native_samples_per_frame * self.bits_allocated

    @property
    def native_frame_bytes(self) -> int:
        """Bytes that hold one native frame, rounded up."""
        return (self.native_frame_bits + 7) // 8

    @property
    def native_bytes(self) -> int:
        """Bytes that all frames take in native pixel data, without the padding byte of an odd length."""
        return (self.native_frame_bits * self.number_of_frames + 7) // 8

    @property
    def decoded_frame_bytes(self) -> int:
        """Bytes of one decoded frame as an array: a 1-bit sample takes one byte there."""
        return self.samples_per_frame * ((self.bits_allocated + 7) // 8)

    def lowest_bit(self, precision: int) -> int:
        """The bit of an encoded sample where the value begins: over 0 where High Bit is not Bits Stored - 1.

        Parameters
        ----------
        precision
            Bits of the encoded samples: codestreams hold whole cells, up to High Bit at least, or the values alone.
        """
        return 0 if self.is_float or precision <= self.high_bit else self.high_bit + 1 - self.bits_stored


def check_pixels(pixels: PixelDescription, *, where: str = "") -> None:
    """Pass if the description can be true of any image (PS3.5 8.1.1, PS3.3 C.7.6.3).

    Raises
    ------
    PixelDataInvalid
        Naming the attribute that cannot be.
    """
    if not (1 <= pixels.rows <= 65535 and 1 <= pixels.columns <= 65535):
        _refuse(f"Rows x Columns is {pixels.rows} x {pixels.columns}", where, "Both must be 1 to 65535.")
    if pixels.samples_per_pixel not in (1, 3, 4):
        _refuse(f"Samples per Pixel is {pixels.samples_per_pixel}", where, "It must be 1 or 3 (4 in retired images).")
    if pixels.bits_allocated != 1 and (pixels.bits_allocated % 8 or not 8 <= pixels.bits_allocated <= 64):
        _refuse(f"Bits Allocated is {pixels.bits_allocated}", where, "It must be 1, or a multiple of 8 up to 64.")
    if not 1 <= pixels.bits_stored <= pixels.bits_allocated:
        _refuse(
            f"Bits Stored is {pixels.bits_stored} with Bits Allocated {pixels.bits_allocated}",
            where,
            "It must be at least 1 and at most Bits Allocated.",
        )
    if not pixels.bits_stored - 1 <= pixels.high_bit < pixels.bits_allocated:
        _refuse(
            f"High Bit is {pixels.high_bit} with Bits Stored {pixels.bits_stored}, Bits Allocated"
            f" {pixels.bits_allocated}",
            where,
            "It must be Bits Stored minus 1 (and below Bits Allocated in retired images).",
        )
    if pixels.pixel_representation not in (0, 1):
        _refuse(f"Pixel Representation is {pixels.pixel_representation}", where, "It must be 0 or 1.")
    if pixels.planar_configuration not in (None, 0, 1):
        _refuse(f"Planar Configuration is {pixels.planar_configuration}", where, "It must be 0 or 1.")
    if not 1 <= pixels.number_of_frames <= MAX_NUMBER_OF_FRAMES:
        _refuse(f"Number of Frames is {pixels.number_of_frames}", where, "It must be 1 to 2147483647.")


def _refuse(what: str, where: str, hint: str) -> None:
    raise PixelDataInvalid(what, where=where, hint=hint)
