# The example driver as somebody would package it; a real one's src is a fetchurl.
{
  fromDeb,
  src,
  zlib,
  mayNameOldPlaces ? [ ],
}:

fromDeb {
  pname = "luxmeter";
  version = "1.2.0";
  inherit src;
  # Its library computes a checksum with zlib and does not say so.
  libraries = [ zlib ];
  alsoNeeds."lib/libluxmeter.so.1.2.0" = [ "libz.so.1" ];
  # The graphics driver's, where there is a graphics card.
  mayStayMissing = [ "libcuda.so.1" ];
  inherit mayNameOldPlaces;
  meta.description = "Driver of an imaginary light meter";
}
