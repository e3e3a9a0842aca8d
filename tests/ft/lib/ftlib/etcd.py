# SPDX-License-Identifier: GPL-2.0-or-later
"""The real etcd, one member or several, with TLS and users if wanted.

    member = Etcd(folder, tls=True, auth=True).start()
    member.where                    what arbiter= wants
    member.tls_dir, USER, PASSWORD  what arbiter-tls= and so on want

Its processes die with the test; its data stays in the folder, so that a
member that was killed can be started again.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess

from ftlib import wait

PREFIX = "/qemu-ft"
USER = "qemu-ft"
PASSWORD = "secret,with\"quotes\""     # etcdctl reads no blanks
ROOT = "root:of-all-evil"
PROGRAMS = {"etcd": "etcd-server", "etcdctl": "etcd-client",
            "openssl": "openssl"}


def missing():
    """Why etcd cannot be used here, or None."""
    for program, package in PROGRAMS.items():
        if not shutil.which(program):
            return f"{program} is missing (package {package})"
    return None


def run(*argv, **options):
    done = subprocess.run([str(word) for word in argv], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **{"input": "", **options})
    if done.returncode:
        raise AssertionError(f"{argv[0]} failed: {done.stdout.strip()}")
    return done.stdout


class Certificates:
    """An authority, etcd's certificate and ours, under the names QEMU uses.

    Ours has no CN: etcd's gateway refuses a client whose certificate has one.
    They are as a strict reader wants them, which Python 3.13 is.
    """

    def __init__(self, folder, address):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=authority", "-addext",
            "keyUsage=critical,keyCertSign,cRLSign", "-keyout",
            self.at("ca-key"), "-out", self.at("ca-cert"))
        self.make("server", "/CN=etcd", f"subjectAltName=IP:{address}\n"
                  "extendedKeyUsage=serverAuth,clientAuth\n")
        self.make("client", "/O=qemu-ft", "extendedKeyUsage=clientAuth\n")

    def at(self, name):
        return self.folder / f"{name}.pem"

    def make(self, name, subject, extensions):
        request = self.folder / f"{name}.csr"
        more = self.folder / f"{name}.ext"
        more.write_text(extensions + "basicConstraints=CA:FALSE\n"
                        "keyUsage=critical,digitalSignature\n"
                        "subjectKeyIdentifier=hash\n"
                        "authorityKeyIdentifier=keyid\n")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
            "-keyout", self.at(f"{name}-key"), "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-days", "2",
            "-CA", self.at("ca-cert"), "-CAkey", self.at("ca-key"),
            "-CAcreateserial", "-extfile", more, "-out",
            self.at(f"{name}-cert"))


class Etcd:
    """One member.  `members` are all of its cluster, when it is not alone."""

    def __init__(self, folder, address="127.0.0.1", port=2379, tls=False,
                 auth=False, jwt=False, name="etcd"):
        self.folder = pathlib.Path(folder)
        self.name, self.address, self.port = name, address, port
        self.auth, self.jwt = auth, jwt
        self.certificates = None
        if tls:
            self.certificates = Certificates(self.folder / f"{name}-tls",
                                             address)
        self.members = [self]
        self.process = None

    # --- where it is -------------------------------------------------------

    @property
    def endpoint(self):
        return f"{self.address}:{self.port}"

    @property
    def where(self):
        """With single commas: double them in a QEMU option."""
        hosts = ",".join(member.endpoint for member in self.members)
        return f"etcd://{hosts}{PREFIX}"

    @property
    def tls_dir(self):
        return self.certificates.folder if self.certificates else None

    @property
    def peer_url(self):
        return f"http://{self.address}:{self.port + 1}"

    @property
    def url(self):
        scheme = "https" if self.certificates else "http"
        return f"{scheme}://{self.endpoint}"

    # --- the process -------------------------------------------------------

    def argv(self):
        cluster = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        argv = ["etcd", "--name", self.name,
                "--data-dir", self.folder / f"{self.name}-data",
                "--listen-client-urls", self.url,
                "--advertise-client-urls", self.url,
                "--listen-peer-urls", self.peer_url,
                "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", cluster]
        if self.certificates:
            at = self.certificates.at
            argv += ["--cert-file", at("server-cert"),
                     "--key-file", at("server-key"), "--client-cert-auth",
                     "--trusted-ca-file", at("ca-cert")]
        if self.jwt:
            private, public = (self.folder / f"jwt-{which}.pem"
                               for which in ("private", "public"))
            if not public.exists():
                run("openssl", "genrsa", "-out", private, "2048")
                run("openssl", "rsa", "-in", private, "-pubout", "-out",
                    public)
            argv += ["--auth-token", f"jwt,priv-key={private},"
                     f"pub-key={public},sign-method=RS256,ttl=10m"]
        return argv

    def launch(self):
        """Without waiting until it serves: a cluster's first member cannot."""
        with open(self.folder / f"{self.name}.log", "a") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--",
                 *(str(word) for word in self.argv())],
                stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)
        return self

    def start(self):
        fresh = not (self.folder / f"{self.name}-data").exists()
        self.launch().wait_healthy()
        if self.auth and fresh:
            self.enable_auth()
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        """After kill(): with the data it had."""
        return self.launch().wait_healthy()

    def stop_process(self):
        """SIGSTOP, and wait until it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid,
                  os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def continue_process(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        if self.process:
            self.kill()

    # --- asking it ---------------------------------------------------------

    def connect(self):
        if not self.certificates:
            return http.client.HTTPConnection(self.address, self.port,
                                              timeout=5)
        at = self.certificates.at
        context = ssl.create_default_context(cafile=at("ca-cert"))
        context.load_cert_chain(at("client-cert"), at("client-key"))
        return http.client.HTTPSConnection(self.address, self.port,
                                           timeout=5, context=context)

    def healthy(self):
        try:
            link = self.connect()
            link.request("GET", "/health")
            return b'"true"' in link.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False

    def post(self, path, body, token=None):
        """(status, answer) of the JSON gateway."""
        link = self.connect()
        link.request("POST", path, json.dumps(body),
                     {"Authorization": token} if token else {})
        answer = link.getresponse()
        return answer.status, json.loads(answer.read())

    def new_token(self):
        _, answer = self.post("/v3/auth/authenticate",
                              {"name": USER, "password": PASSWORD})
        return answer["token"]

    def wait_healthy(self):
        def probe():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended: see its log")
            return self.healthy()
        wait.until(f"{self.name} is healthy", probe)
        return self

    def ctl(self, *words, user=ROOT, **options):
        argv = ["etcdctl", "--endpoints", self.url]
        if self.certificates:
            at = self.certificates.at
            argv += ["--cacert", at("ca-cert"), "--cert", at("client-cert"),
                     "--key", at("client-key")]
        if self.auth and user:
            argv += ["--user", user]
        return run(*argv, *words, env=dict(os.environ, ETCDCTL_API="3"),
                   **options)

    def get(self, key):
        return self.ctl("get", "--print-value-only", key).rstrip("\n")

    def put(self, key, value):
        self.ctl("put", key, value)

    def enable_auth(self):
        """The user may use keys below PREFIX and nothing else."""
        def admin(*words):
            self.ctl(*words, user=None)
        admin("role", "add", USER)
        admin("role", "grant-permission", USER, "readwrite", "--prefix=true",
              f"{PREFIX}/")
        admin("user", "add", f"{USER}:{PASSWORD}")
        admin("user", "grant-role", USER, USER)
        admin("user", "add", ROOT)
        admin("user", "grant-role", "root", "root")
        admin("auth", "enable")


def cluster(folder, count=3, address="127.0.0.1", port=2379):
    """Members on ports two apart, all of them healthy."""
    members = [Etcd(folder, address, port + 2 * n, name=f"etcd{n}")
               for n in range(count)]
    for member in members:
        member.members = members
        member.launch()
    for member in members:
        member.wait_healthy()
    return members
