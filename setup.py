"""Packaging. `pip install -e .` makes `import mindcv` work from anywhere; the scripts run from the checkout."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION: dict[str, str] = {}
for line in (HERE / "mindcv" / "version.py").read_text().splitlines():
    if line.startswith("__version__"):
        VERSION["version"] = line.split('"')[1]
REQUIREMENTS = [
    line.split("#")[0].strip()
    for line in (HERE / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]

setup(
    name="mindcv-sk",
    version=VERSION["version"],
    description="MindSpore model zoo and training toolkit for image classification, with SKNet at its heart",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["mindcv", "mindcv.*"]),
    python_requires=">=3.10,<3.13",
    package_data={"mindcv.weights": ["*.csv", "*.txt"]},
    install_requires=REQUIREMENTS,
    extras_require={"onnx": ["onnx>=1.16", "onnxruntime>=1.18"]},
)
