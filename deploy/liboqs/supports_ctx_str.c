/* The one function of liboqs 0.14 that liboqs-python 0.16 asks for when it is imported and 0.13 does not have. */
#include <oqs/oqs.h>

bool OQS_SIG_supports_ctx_str(const char *name) {
    OQS_SIG *found = OQS_SIG_new(name);
    bool supports = found != NULL && found->sig_with_ctx_support;
    OQS_SIG_free(found);
    return supports;
}
