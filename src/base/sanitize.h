/* Which sanitizer the code is compiled for: gcc and clang say so in different ways. */
#ifndef MOTET_BASE_SANITIZE_H
#define MOTET_BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define MOTET__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOTET__ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define MOTET__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MOTET__TSAN 1
#endif
#endif

#ifndef MOTET__ASAN
#define MOTET__ASAN 0
#endif
#ifndef MOTET__TSAN
#define MOTET__TSAN 0
#endif

#endif
