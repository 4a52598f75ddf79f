"""Which package has a library or a symbol, as far as its name tells: nixpkgs attributes and linker flags.

Data, and the functions that look it up. Where a library lies in the Nix store, the store path's name tells better.
"""

import re
from pathlib import PurePosixPath

CXX = "(lib.getLib stdenv.cc.cc)"

# Pattern of a library's name to the attribute that has it, in the pinned nixpkgs; the first that fits.
ATTRIBUTES = (
    (r"libboost_\w+\.so", "boost"),
    (r"lib(stdc\+\+|gcc_s|gomp|quadmath|atomic)\.so", CXX),
    (r"libgfortran\.so", "gfortran.cc.lib"),
    (r"libz\.so", "zlib"),
    (r"libbz2\.so", "bzip2"),
    (r"liblzma\.so", "xz"),
    (r"libzstd\.so", "zstd"),
    (r"liblz4\.so", "lz4"),
    (r"libusb-1\.0\.so", "libusb1"),
    (r"libusb-0\.1\.so", "libusb-compat-0_1"),
    (r"lib(udev|systemd)\.so", "systemd"),
    (r"libhidapi-\w+\.so", "hidapi"),
    (r"libftdi1\.so", "libftdi1"),
    (r"libraw1394\.so", "libraw1394"),
    (r"libdc1394\.so", "libdc1394"),
    (r"libv4l\w+\.so", "libv4l"),
    (r"libgphoto2(_port)?\.so", "libgphoto2"),
    (r"libopencv_\w+\.so", "opencv"),
    (r"libhdf5(_\w+)?\.so", "hdf5"),
    (r"libtiff(xx)?\.so", "libtiff"),
    (r"libpng16\.so", "libpng"),
    (r"libjpeg\.so|libturbojpeg\.so", "libjpeg"),
    (r"libfftw3[fl]?(_\w+)?\.so", "fftw"),
    (r"libgsl(cblas)?\.so", "gsl"),
    (r"lib(open)?blas\.so", "openblas"),
    (r"libtbb(malloc)?\.so", "onetbb"),
    (r"libxml2\.so", "libxml2"),
    (r"libexpat\.so", "expat"),
    (r"libffi\.so", "libffi"),
    (r"libsqlite3\.so", "sqlite"),
    (r"lib(ssl|crypto)\.so", "openssl"),
    (r"libcurl\.so", "curl"),
    (r"libprotobuf(-lite)?\.so", "protobuf"),
    (r"lib(zmq)\.so", "zeromq"),
    (r"libfmt\.so", "fmt"),
    (r"libspdlog\.so", "spdlog"),
    (r"libyaml-cpp\.so", "yaml-cpp"),
    (r"lib(ncursesw?|tinfow?|panelw?|formw?)\.so", "ncurses"),
    (r"libreadline\.so", "readline"),
    (r"libuuid\.so", "libuuid"),
    (r"libblkid\.so|libmount\.so", "util-linux"),
    (r"libdbus-1\.so", "dbus"),
    (r"lib(glib|gobject|gio|gmodule|gthread)-2\.0\.so", "glib"),
    (r"libgst\w+-1\.0\.so", "gst_all_1.gst-plugins-base"),
    (r"lib(gtk|gdk)-3\.so", "gtk3"),
    (r"libcairo\.so", "cairo"),
    (r"libpango(cairo|ft2)?-1\.0\.so", "pango"),
    (r"libgdk_pixbuf-2\.0\.so", "gdk-pixbuf"),
    (r"libfreetype\.so", "freetype"),
    (r"libfontconfig\.so", "fontconfig"),
    (r"lib(GL|EGL|GLX|OpenGL|GLESv2|GLdispatch)\.so", "libglvnd"),
    (r"libGLU\.so", "libGLU"),
    (r"libglfw\.so", "glfw"),
    (r"libGLEW\.so", "glew"),
    (r"libOpenCL\.so", "ocl-icd"),
    (r"libvulkan\.so", "vulkan-loader"),
    (r"libX11(-xcb)?\.so", "libx11"),
    (r"libXext\.so", "libxext"),
    (r"libXi\.so", "libxi"),
    (r"libXrender\.so", "libxrender"),
    (r"libxcb(-\w+)?\.so", "libxcb"),
    (r"libxkbcommon(-x11)?\.so", "libxkbcommon"),
    (r"libwayland-\w+\.so", "wayland"),
    (r"libQt5\w+\.so", "libsForQt5.qtbase"),
    (r"libQt6\w+\.so", "qt6.qtbase"),
    (r"libasound\.so", "alsa-lib"),
    (r"libpcap\.so", "libpcap"),
    (r"libcrypt\.so", "libxcrypt"),
    (r"libnuma\.so", "numactl"),
    (r"libnsl\.so", "libnsl"),
    (r"libpython3\.\d+\.so", "python3"),
)
# What comes with the graphics card's driver, not with a package.
DRIVERS = re.compile(r"lib(cuda|nvidia-[\w-]+|nvcuvid|nvoptix|GLX_nvidia|EGL_nvidia|amdocl\d*)\.so")
# The C library, which every program has.
LIBC = re.compile(r"(ld-linux[\w-]*|ld64|lib(c|m|dl|rt|pthread|util|resolv|anl|mvec|BrokenLocale))\.so")
# What a program that loads plugins brings along: pattern of a symbol, what to declare, and whose it is.
HOSTS = (
    (re.compile(r"_?Py[A-Z_]"), "Py*", "Python"),
    (re.compile(r"JNI_|JVM_"), "J*", "the Java virtual machine"),
    (re.compile(r"mx[A-Z]|mex[A-Z]"), "mx*", "MATLAB"),
)
# Symbols of libraries whose names do not tell: pattern of the readable symbol to library.
NAMESPACES = (
    (re.compile(r"\bboost::(\w+)::"), r"boost_\1"),
    (re.compile(r"\bcv::"), "opencv_core"),
    (re.compile(r"\bgoogle::protobuf::"), "protobuf"),
    (re.compile(r"\bQ[A-Z]\w+::"), "Qt5Core"),
    (re.compile(r"^libusb_"), "usb-1.0"),
    (re.compile(r"^udev_"), "udev"),
    (re.compile(r"^hid_"), "hidapi-hidraw"),
    (re.compile(r"^H5[A-Z]"), "hdf5"),
    (re.compile(r"^TIFF"), "tiff"),
    (re.compile(r"^(fftwf?)_"), "fftw3"),
)
BOOST_HEADER_ONLY = {
    "asio",
    "mpl",
    "fusion",
    "optional",
    "function",
    "shared_ptr",
    "signals2",
    "spirit",
    "interprocess",
}


def attribute(library: str, place: str = "") -> str | None:
    """The nixpkgs attribute of a library, by its place in the store or by its name."""
    if LIBC.match(library):
        return None
    for pattern, name in ATTRIBUTES:
        if re.match(pattern + r"(\.|$)", library):
            return name
    store = re.match(r"/nix/store/[0-9a-z]{32}-([A-Za-z][\w+.]*?(?:-[A-Za-z][\w+.]*?)*)-\d[^/]*/", place)
    return store[1] if store else None


def link_flag(library: str, place: str) -> tuple[str, ...]:
    """What tells the linker of a library; the folder too where the compiler would not look."""
    named = re.match(r"lib(.+?)\.so(\.|$)", library)
    folder = str(PurePosixPath(place).parent)
    usual = re.fullmatch(r"(/usr)?/lib(64)?(/[\w-]+-linux-gnu\w*)?", folder)
    where = () if usual else (f"-L{folder}",)
    return (*where, f"-l{named[1]}" if named else f"-l:{library}")


def guess(symbol: str) -> str | None:
    """The library, without lib and .so, that a readable symbol is likely of, by its namespace."""
    for pattern, library in NAMESPACES:
        if (match := pattern.search(symbol)) and not (match.groups() and match[1] in BOOST_HEADER_ONLY):
            return match.expand(library)
    return None


def debian_library(package: str) -> str | None:
    """The library in a package of Debian's, by Debian's rule for naming them (libusb-1.0-0: libusb-1.0.so.0)."""
    match = re.fullmatch(r"(lib[a-z0-9.+-]*?)(?:-?(\d[\d.]*))(?:t64|v5|c2a|ldbl|gf)*", package)
    known = {
        "libc6": "libc.so.6",
        "zlib1g": "libz.so.1",
        "libstdc++6": "libstdc++.so.6",
        "libgcc-s1": "libgcc_s.so.1",
    }
    if package in known:
        return known[package]
    if match is None:
        return None
    name, version = match.groups()
    boost = re.fullmatch(r"libboost-([a-z-]+)", name)
    return f"libboost_{boost[1].replace('-', '_')}.so.{version}" if boost else f"{name}.so.{version}"


def deb_place(old: str) -> str:
    """Where from-deb.nix puts a file of a .deb, as a declaration names it (pkgs/vendor/from-deb/deb.py)."""
    parts = list(PurePosixPath(old).parts[1:])
    if parts[:1] == ["usr"]:
        parts = parts[2:] if parts[1:2] == ["local"] else parts[1:]
    if parts and parts[0] in ("lib64", "lib"):
        named = len(parts) > 1 and re.fullmatch(r"[a-z0-9_]+-linux-gnu[a-z0-9]*", parts[1])
        parts = ["lib", *(parts[2:] if named else parts[1:])]
    if parts[:1] == ["sbin"]:
        parts = ["bin", *parts[1:]]
    return "/".join(parts)
