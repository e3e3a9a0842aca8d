/*
 * QEMU-FT: the keys that say where the arbiter is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the text itself shows to be wrong is refused with the options.  The
 * secret is an object and the UUID another option, either of which may come
 * later on the command line, so they wait until the machine is complete.
 */
#include "qemu/osdep.h"
#include "qemu/option.h"
#include "qemu/uuid.h"
#include "qapi/error.h"
#include "crypto/secret.h"
#include "system/system.h"
#include "arbiter-options.h"

static FtStoreConfig config;
static char *secret_id;
static char *host_name;

static bool apply_host(QemuOpts *opts, Error **errp)
{
    const char *given = qemu_opt_get(opts, "host");
    const char *name = given ?: g_get_host_name();

    if (!ft_seat_host_valid(name)) {
        error_setg(errp, "%s '%s' cannot stand in the arbiter's record; give "
                   "host= with letters, digits and -._:",
                   given ? "host=" : "this host's name", name);
        return false;
    }
    g_free(host_name);
    host_name = g_strdup(name);
    return true;
}

static bool apply_access(QemuOpts *opts, Error **errp)
{
    const char *user = qemu_opt_get(opts, "arbiter-user");
    const char *secret = qemu_opt_get(opts, "arbiter-secret");

    if (!user != !secret) {
        error_setg(errp, "%s= needs %s=; give both or neither",
                   user ? "arbiter-user" : "arbiter-secret",
                   user ? "arbiter-secret" : "arbiter-user");
        return false;
    }
    config.user = g_strdup(user);
    secret_id = g_strdup(secret);
    config.tls_dir = g_strdup(qemu_opt_get(opts, "arbiter-tls"));
    return ft_store_config_check(&config, errp);
}

bool ft_arbiter_options_apply(QemuOpts *opts, Error **errp)
{
    static const char *const details[] = {
        "arbiter-tls", "arbiter-user", "arbiter-secret"
    };
    const char *where = qemu_opt_get(opts, "arbiter");

    if (where && !ft_store_parse(&config, where, errp)) {
        return false;
    }
    if (config.kind != FT_STORE_NONE) {
        return apply_host(opts, errp) && apply_access(opts, errp);
    }
    if (qemu_opt_get(opts, "host") && !apply_host(opts, errp)) {
        return false;
    }
    for (int i = 0; i < ARRAY_SIZE(details); i++) {
        if (qemu_opt_get(opts, details[i])) {
            error_setg(errp, "%s= has no meaning without arbiter=; give one "
                       "or remove it", details[i]);
            return false;
        }
    }
    return true;
}

static bool look_up_password(Error **errp)
{
    ERRP_GUARD();
    g_autofree char *password = NULL;

    password = qcrypto_secret_lookup_as_utf8(secret_id, errp);
    if (!password) {
        error_prepend(errp, "arbiter-secret=%s: ", secret_id);
        return false;
    }
    if (g_str_has_suffix(password, "\n")) {
        error_setg(errp, "arbiter-secret=%s: the secret ends with a newline; "
                   "write its file without one (printf %%s)", secret_id);
        return false;
    }
    g_free(config.password);
    config.password = g_steal_pointer(&password);
    return true;
}

bool ft_store_config_from_options(const FtStoreConfig **cfg, Error **errp)
{
    *cfg = NULL;
    if (config.kind == FT_STORE_NONE) {
        return true;
    }
    if (!qemu_uuid_set) {
        error_setg(errp, "arbiter= needs -uuid, the same on both hosts and "
                   "other than any other VM's");
        return false;
    }
    if (secret_id && !look_up_password(errp)) {
        return false;
    }
    g_free(config.vm);
    config.vm = qemu_uuid_unparse_strdup(&qemu_uuid);
    *cfg = &config;
    return true;
}

const char *ft_host_name(void)
{
    return host_name ?: g_get_host_name();
}
